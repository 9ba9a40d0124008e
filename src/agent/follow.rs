//! The side of the agent that talks to etcd: claims the subnets, keeps this node's record, follows those of the others.
//!
//! A session goes from connecting to the first fault, and another one follows; what was learned stays in force
//! meanwhile, whatever the fault is.

use std::{
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::Duration,
};

use etcd_client::{EventType, WatchStream};
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until},
};

use super::{
    claim::{Claim, Exhausted, choose},
    config::AgentConfig,
    directory::{Directory, Entry, Touched},
    etcd::{Etcd, EtcdError, Lease, explain},
    health::Health,
    keys::Keys,
    settings::{Settings, SettingsProblem},
    shared::{Membership, Shared, Site},
};
use crate::overlay::plan::Host;

/// How long a node's sign of life outlasts it, in seconds.
const LIFE: i64 = 15;
/// How often the lease is renewed.
const RENEWAL: Duration = Duration::from_secs(5);
/// How often it is asked whether a change was missed.
const CENSUS: Duration = Duration::from_secs(30);
/// The shortest and the longest time between sessions.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));
/// How often a claim that others were faster to make is tried again before etcd is asked from the start.
const RACES: usize = 32;

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error(transparent)]
    Etcd(#[from] EtcdError),
    #[error(transparent)]
    Exhausted(#[from] Exhausted),
    #[error(transparent)]
    Settings(#[from] SettingsProblem),
    #[error(
        "a host with the address {vtep} is alive under the name {node:?}, which is this host's too: set another \"node\" \
         on one of them (or wait {LIFE} s if that was this host)"
    )]
    NameTaken { node: String, vtep: String },
    #[error("others were faster to claim a subnet {RACES} times")]
    Races,
    #[error("etcd ended the watch: {0}")]
    Watch(String),
    /// No fault, but all is to be read anew.
    #[error("reading all anew: {0}")]
    Again(&'static str),
}

impl Fault {
    const fn is_harmless(&self) -> bool {
        matches!(self, Self::Again(_))
    }
}

/// The side that talks to etcd.
pub(super) struct Follower {
    config: AgentConfig,
    keys: Keys,
    node: String,
    shared: Arc<Shared>,
    health: Arc<Health>,
    /// Where this host is in the underlay.
    site: watch::Receiver<Option<Site>>,
    /// What this host's device is, once it is there.
    own: watch::Receiver<Option<Host>>,
    /// The address of this host that its sign of life told last.
    said: Option<String>,
    /// What ends with the agent.
    held: Option<(Etcd, Lease)>,
    /// The last revision that is known.
    seen: i64,
    /// Whether the session came as far as to follow.
    is_following: bool,
}

impl Follower {
    pub(super) fn new(
        config: AgentConfig,
        node: String,
        shared: Arc<Shared>,
        health: Arc<Health>,
        site: watch::Receiver<Option<Site>>,
        own: watch::Receiver<Option<Host>>,
    ) -> Self {
        let keys = Keys::new(&config.etcd.prefix, &config.network);
        Self { config, keys, node, shared, health, site, own, said: None, held: None, seen: 0, is_following: false }
    }

    /// Goes on until `stop` changes; then ends the sign of life and leaves everything else.
    pub(super) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut pause = PAUSES.0;
        loop {
            self.is_following = false;
            let fault = tokio::select! {
                _ = stop.changed() => break,
                Err(fault) = self.session() => fault,
            };
            if fault.is_harmless() {
                tracing::info!(reason = %fault, "etcd");
            } else if self.health.etcd_lost(&fault.to_string()) {
                tracing::warn!(error = %fault, "etcd is not followed; what is known stays in force");
            }
            pause = if self.is_following { PAUSES.0 } else { (pause * 2).min(PAUSES.1) };
            tokio::select! {
                _ = stop.changed() => break,
                () = sleep(jittered(pause)) => {}
            }
        }
        if let Some((mut etcd, lease)) = self.held.take()
            && let Err(error) = etcd.revoke(lease).await
        {
            tracing::info!(%error, "the sign of life ends by itself");
        }
    }

    async fn session(&mut self) -> Result<std::convert::Infallible, Fault> {
        let mut etcd = Etcd::connect(&self.config.etcd, &self.keys.config()).await?;
        let settings = self.take_up(&mut etcd).await?;
        self.health.etcd_reached();
        // Before the host knows where it is, there is nothing to say of it, but much to hear.
        let site = self.site.clone().wait_for(Option::is_some).await.map_or(None, |site| site.clone());
        let Some(site) = site else { return Err(Fault::Again("the agent ends")) };
        let lease = self.occupy(&mut etcd, &site).await?;
        let subnets = self.claim(&mut etcd, &settings, &site).await?;
        self.shared.join(Membership { settings, subnets });
        let watch = etcd.watch(self.keys.root(), self.seen + 1).await?;
        self.own.mark_changed();
        self.held = Some((etcd, lease));
        self.is_following = true;
        self.follow(watch).await
    }

    /// Reads everything. An etcd without the overlay's settings is no reason to forget what is known.
    async fn take_up(&mut self, etcd: &mut Etcd) -> Result<Settings, Fault> {
        let (revision, entries) = etcd.list(self.keys.root()).await?;
        let mut directory = Directory::new(self.keys.clone(), self.node.clone());
        for entry in entries {
            directory.put(entry);
        }
        let settings = Settings::read(directory.settings(), &self.config);
        let settings = settings.map_err(|problem| problem.at(self.keys.config()))?;
        tracing::info!(revision, keys = directory.len(), "read all from etcd");
        self.seen = revision;
        self.shared.replace(directory);
        Ok(settings)
    }

    /// Says that this node is alive, unless another host says so of a node of this name.
    async fn occupy(&mut self, etcd: &mut Etcd, site: &Site) -> Result<Lease, Fault> {
        let lease = etcd.lease(LIFE).await?;
        let key = self.keys.alive(&self.node);
        let vtep = site.vtep.to_string();
        match etcd.occupy(&key, &vtep, self.said.as_deref(), &lease).await? {
            None => {
                self.said = Some(vtep);
                Ok(lease)
            }
            Some(vtep) => {
                etcd.revoke(lease).await?;
                Err(Fault::NameTaken { node: self.node.clone(), vtep })
            }
        }
    }

    /// Has a subnet of each pool, for good.
    async fn claim(&mut self, etcd: &mut Etcd, settings: &Settings, site: &Site) -> Result<Vec<ipnet::IpNet>, Fault> {
        let in_use = self.shared.membership().map_or_else(|| site.in_use.clone(), |known| known.subnets.clone());
        for _ in 0..RACES {
            let claim =
                self.shared.with(|directory| choose(&self.node, &settings.pools(), directory.claims(), &in_use))?;
            let Claim { subnets, missing, lost } = claim;
            for (subnet, holder) in lost {
                tracing::error!(%subnet, holder, "another host has claimed the subnet that is in use here");
            }
            if missing.is_empty() {
                return Ok(subnets);
            }
            let keys = missing.iter().map(|subnet| self.keys.alloc(subnet)).collect();
            if etcd.create(keys, &self.node).await? {
                tracing::info!(?missing, "claimed");
                self.shared.change(|directory| {
                    for subnet in &missing {
                        let key = self.keys.alloc(subnet).into_bytes();
                        directory.put(Entry { key, value: self.node.clone().into_bytes(), revision: 0 });
                    }
                });
                return Ok(subnets);
            }
            tracing::info!(?missing, "another host was faster to claim it");
            self.health.race_lost();
            self.take_up(etcd).await?;
        }
        Err(Fault::Races)
    }

    async fn follow(&mut self, mut watch: WatchStream) -> Result<std::convert::Infallible, Fault> {
        let mut renewal = tokio::time::interval(RENEWAL);
        let mut census = Instant::now() + jittered(CENSUS);
        let mut is_suspect = false;
        let mut site = self.site.clone();
        site.mark_unchanged();
        loop {
            tokio::select! {
                message = watch.message() => self.hear(message).await?,
                _ = self.own.changed() => self.write_own().await?,
                // The connection may be one from the address that is gone.
                _ = site.changed() => return Err(Fault::Again("this host's address changed")),
                _ = renewal.tick() => self.renew().await?,
                () = sleep_until(census) => {
                    let is_missing = self.count().await?;
                    if is_missing && is_suspect {
                        return Err(Fault::Again("a change was missed"));
                    }
                    is_suspect = is_missing;
                    census = Instant::now() + if is_suspect { Duration::from_secs(1) } else { jittered(CENSUS) };
                }
            }
        }
    }

    /// Takes up what the watch brings.
    async fn hear(
        &mut self,
        message: Result<Option<etcd_client::WatchResponse>, etcd_client::Error>,
    ) -> Result<(), Fault> {
        let message = match message {
            Ok(Some(message)) => message,
            Ok(None) => return Err(Fault::Watch("the connection closed".into())),
            Err(error) => return Err(Fault::Watch(explain(&error))),
        };
        if message.compact_revision() > 0 {
            return Err(Fault::Again("etcd was compacted"));
        }
        if message.canceled() {
            return Err(Fault::Watch(message.cancel_reason().to_owned()));
        }
        self.seen = self.seen.max(message.header().map_or(0, etcd_client::ResponseHeader::revision));
        let touched = self
            .shared
            .change(|directory| message.events().iter().map(|event| take(directory, event)).collect::<Vec<_>>());
        if touched.contains(&Touched::Own) {
            self.write_own().await?;
        }
        if touched.contains(&Touched::Config) {
            return Err(Fault::Again("the overlay's settings changed"));
        }
        if touched.contains(&Touched::Claims) && !self.has_its_claims() {
            return Err(Fault::Again("the claim of this host is gone"));
        }
        if touched.contains(&Touched::Own) && !self.shared.with(|directory| directory.lives(&self.node)) {
            return Err(Fault::Again("the sign of life of this host is gone"));
        }
        Ok(())
    }

    fn has_its_claims(&self) -> bool {
        let Some(membership) = self.shared.membership() else { return false };
        self.shared.with(|directory| {
            membership.subnets.iter().all(|subnet| directory.claims().get(subnet) == Some(&self.node))
        })
    }

    /// Writes this node's record where etcd has another one or none.
    async fn write_own(&mut self) -> Result<(), Fault> {
        let Some(own) = self.own.borrow_and_update().clone() else { return Ok(()) };
        if self.shared.with(|directory| directory.own() == Some(&own)) {
            return Ok(());
        }
        let Some((etcd, _)) = &mut self.held else { return Ok(()) };
        let value = serde_json::to_vec(&own).unwrap_or_default();
        etcd.put(self.keys.node(&self.node), value).await?;
        tracing::info!(node = own.node, vtep = %own.vtep, subnets = ?own.subnets, "wrote this node's record");
        Ok(())
    }

    async fn renew(&mut self) -> Result<(), Fault> {
        let Some((_, lease)) = &mut self.held else { return Ok(()) };
        if lease.renew().await? { Ok(()) } else { Err(Fault::Again("the lease had ended")) }
    }

    /// Whether etcd holds what the watch did not tell.
    async fn count(&mut self) -> Result<bool, Fault> {
        let Some((etcd, _)) = &mut self.held else { return Ok(false) };
        let (keys, newer) = etcd.census(self.keys.root(), self.seen).await?;
        Ok(newer > 0 || keys != self.shared.with(Directory::len))
    }
}

fn take(directory: &mut Directory, event: &etcd_client::Event) -> Touched {
    let Some(pair) = event.kv() else { return Touched::Nothing };
    match event.event_type() {
        EventType::Put => {
            let (key, value) = (pair.key().to_vec(), pair.value().to_vec());
            directory.put(Entry { key, value, revision: pair.mod_revision() })
        }
        EventType::Delete => directory.delete(pair.key()),
    }
}

/// Three quarters of it to five quarters: hosts that lost etcd together do not come back together.
fn jittered(time: Duration) -> Duration {
    let random = RandomState::new().hash_one(0) % 512;
    time * u32::try_from(768 + random).unwrap_or(1024) / 1024
}
