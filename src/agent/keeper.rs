//! The side of the agent that keeps the kernel true: the device, the peers' entries, the host file. Blocking.

use std::{
    collections::BTreeSet,
    net::IpAddr,
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use sd_notify::NotifyState;
use tokio::sync::watch;

use super::{
    config::AgentConfig,
    directory::Directory,
    events::Interest,
    followed::{Difference, Followed},
    health::Health,
    shared::{Membership, Shared, Site},
};
use crate::{
    cni::json::parse_ip,
    config::Underlay,
    kernel::{
        ensure::{EnsureError, ensure},
        feature::{self, Need},
    },
    nft::Nft,
    overlay::{
        Carrier, HostFile, Reconciled, admit, apply, expel, find_underlay,
        plan::{Device, Host, derived_mac},
        reconcile,
    },
    rtnl::{Link, Rtnl},
};

/// How often everything is compared with the kernel, whatever is told.
const SURVEY: Duration = Duration::from_secs(30);
/// The first and the last time between attempts at what the kernel refused.
const RETRIES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(15));
/// How long news are collected: links seldom change one setting alone.
const SETTLING: Duration = Duration::from_millis(20);

/// Why the keeper has something to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wake {
    /// The directory or the membership changed.
    Directory,
    /// Links or addresses changed.
    Kernel,
    /// The agent ends.
    Stop,
}

/// What could not be made true.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Overlay(#[from] crate::overlay::Error),
    #[error(transparent)]
    Rtnl(#[from] crate::rtnl::Error),
    #[error(transparent)]
    Nft(#[from] crate::nft::Error),
    #[error(transparent)]
    Kernel(#[from] EnsureError),
}

/// The side that keeps the kernel true.
pub(super) struct Keeper {
    config: AgentConfig,
    node: String,
    underlay: Underlay,
    shared: Arc<Shared>,
    health: Arc<Health>,
    interest: Arc<Interest>,
    site: watch::Sender<Option<Site>>,
    own: watch::Sender<Option<Host>>,
    /// Subnets that the host had in use when the agent started.
    in_use: Vec<ipnet::IpNet>,
    /// This host's address in the underlay until now.
    vtep: Option<IpAddr>,
    held: Option<Held>,
    refused: BTreeSet<String>,
    is_ready: bool,
}

/// What the kernel was made to hold.
struct Held {
    membership: Membership,
    own: Host,
    device: Device,
    link: Link,
    followed: Followed,
}

impl Keeper {
    pub(super) fn new(
        config: AgentConfig,
        node: String,
        shared: Arc<Shared>,
        health: Arc<Health>,
        interest: Arc<Interest>,
        (site, own): (watch::Sender<Option<Site>>, watch::Sender<Option<Host>>),
    ) -> Self {
        let underlay = config.underlay.as_deref().map_or(Underlay::DefaultRoute, |text| {
            parse_ip(text).map_or_else(|| Underlay::Interface(text.to_owned()), Underlay::Address)
        });
        let known = HostFile::read(&config.state_dir, &config.network).unwrap_or_else(|error| {
            tracing::warn!(%error, "the host file is left out of account");
            None
        });
        Self {
            underlay,
            vtep: known.as_ref().and_then(|known| known.vtep),
            in_use: known.map(|known| known.subnets).unwrap_or_default(),
            config,
            node,
            shared,
            health,
            interest,
            site,
            own,
            held: None,
            refused: BTreeSet::new(),
            is_ready: false,
        }
    }

    /// Goes on until it is told to stop; leaves everything as it is then.
    pub(super) fn run(mut self, wakes: &mpsc::Receiver<Wake>) {
        let heartbeat = sd_notify::watchdog_enabled().map(|limit| limit / 3);
        let (mut due, mut retry, mut wake) = (Instant::now(), RETRIES.0, Some(Wake::Kernel));
        loop {
            let is_due = Instant::now() >= due;
            let outcome = match wake {
                Some(Wake::Stop) => return,
                Some(Wake::Directory) if !is_due => self.update().or_else(|failure| {
                    tracing::info!(error = %failure, "comparing everything");
                    self.survey()
                }),
                None if !is_due => Ok(()),
                _ => self.survey(),
            };
            match outcome {
                Ok(()) if is_due || wake == Some(Wake::Kernel) => (due, retry) = (Instant::now() + SURVEY, RETRIES.0),
                Ok(()) => {}
                Err(failure) => {
                    self.report(&failure);
                    due = Instant::now() + retry;
                    retry = (retry * 2).min(RETRIES.1);
                }
            }
            notify(&[NotifyState::Watchdog]);
            let patience = due.saturating_duration_since(Instant::now());
            wake = next(wakes, heartbeat.map_or(patience, |beat| beat.min(patience)));
        }
    }

    fn report(&mut self, failure: &Failure) {
        if self.health.kernel_failed(&failure.to_string()) {
            tracing::error!(error = %failure, "the kernel is not as it has to be");
        }
        if let Failure::Kernel(error) = failure {
            tracing::info!(details = error.details());
        }
    }

    /// Compares everything with the kernel and mends what differs.
    fn survey(&mut self) -> Result<(), Failure> {
        let rtnl = Rtnl::open()?;
        let membership = self.shared.membership();
        let networks = membership.as_ref().map(|known| known.settings.overlay.networks.as_slice()).unwrap_or_default();
        let carrier = find_underlay(&rtnl, &self.underlay, networks, self.vtep)?;
        self.vtep = Some(carrier.address);
        self.interest.only(&carrier.link, membership.as_ref().map(|known| known.settings.overlay.device()));
        self.announce(&carrier);
        match membership {
            Some(membership) => self.make_true(&rtnl, membership, &carrier)?,
            None => self.health.kernel_waits(),
        }
        Ok(())
    }

    fn announce(&self, carrier: &Carrier) {
        let site = Site { vtep: carrier.address, in_use: self.in_use.clone() };
        self.site.send_if_modified(|known| {
            let is_news = known.as_ref() != Some(&site);
            if is_news {
                tracing::info!(vtep = %carrier.address, link = carrier.link, "the underlay");
                *known = Some(site);
            }
            is_news
        });
    }

    fn make_true(&mut self, rtnl: &Rtnl, membership: Membership, carrier: &Carrier) -> Result<(), Failure> {
        let overlay = &membership.settings.overlay;
        if self.held.is_none() {
            let why = "the overlay (its engine is etcd)";
            let needs = [&feature::VXLAN, &feature::NF_TABLES].map(|feature| Need::new(feature, why));
            ensure(&needs, None)?;
        }
        let own = Host {
            node: self.node.clone(),
            subnets: membership.subnets.clone(),
            vtep: carrier.address,
            mac: derived_mac(carrier.address),
        };
        let mtu = carrier.inner_mtu(overlay.mtu)?;
        let device = Device::of(&self.config.network, overlay, &own, mtu);
        let peers = self.peers(&own, &membership);
        let done = reconcile(rtnl, &mut Nft::open()?, &self.config.network, &device, &peers)?;
        let Reconciled { link, done } = done;
        if !done.is_nothing() {
            let (entries, course) = (done.changes.len(), done.course);
            tracing::info!(?course, entries, admitted = done.admit.len(), expelled = done.expel.len(), "mended");
            self.health.changed(entries);
        }
        self.tell_the_plugin(&membership, &own, &device)?;
        self.own.send_if_modified(|known| known.replace(own.clone()).as_ref() != Some(&own));
        self.health.kernel_right(&own.subnets, own.vtep);
        let followed = Followed::all(peers);
        let count = followed.count();
        self.held = Some(Held { membership, own, device, link, followed });
        if !std::mem::replace(&mut self.is_ready, true) {
            tracing::info!(peers = count, "this host is in the overlay");
            notify(&[NotifyState::Ready]);
        }
        Ok(())
    }

    /// Writes the host file, which an ADD waits for.
    fn tell_the_plugin(&self, membership: &Membership, own: &Host, device: &Device) -> Result<(), Failure> {
        let overlay = &membership.settings.overlay;
        let file = HostFile {
            engine: overlay.engine,
            network: overlay.networks.clone(),
            subnets: own.subnets.clone(),
            mtu: device.mtu,
            vni: overlay.vni,
            port: overlay.port,
            device: device.name.clone(),
            node: own.node.clone(),
            vtep: Some(own.vtep),
            agent: Some(self.config.listen),
            peer_file: None,
        };
        if file.write(&self.config.state_dir, &self.config.network)? {
            tracing::info!(subnets = ?own.subnets, mtu = device.mtu, "the plugin can give addresses");
        }
        Ok(())
    }

    /// The peers to follow; what is refused is told once.
    fn peers(&mut self, own: &Host, membership: &Membership) -> Vec<Host> {
        let networks = &membership.settings.overlay.networks;
        let (peers, refused, alive) = self.shared.take(|directory| {
            directory.take_news();
            let (peers, refused) = directory.peers(own, networks);
            (peers, refused, directory.alive())
        });
        let refused: BTreeSet<_> = refused.iter().map(ToString::to_string).collect();
        for refusal in refused.difference(&self.refused) {
            tracing::warn!("{refusal}");
        }
        self.health.counted(peers.len(), refused.len(), alive);
        self.refused = refused;
        peers
    }

    /// Makes what changed in etcd so, by what the kernel was made to hold before.
    fn update(&mut self) -> Result<(), Failure> {
        let Some(mut held) = self.held.take_if(|held| self.shared.membership().as_ref() == Some(&held.membership))
        else {
            return self.survey();
        };
        let networks = &held.membership.settings.overlay.networks;
        let difference = match self.news() {
            Some(news) => match held.followed.take_up(&held.own, networks, news) {
                Some(difference) => {
                    self.health.counted(held.followed.count(), 0, self.shared.with(Directory::alive));
                    difference
                }
                None => return self.survey(),
            },
            None => {
                let followed = Followed::all(self.peers(&held.own, &held.membership));
                let difference = followed.since(&held.followed);
                held.followed = followed;
                difference
            }
        };
        self.follow(&held, &difference)?;
        self.held = Some(held);
        Ok(())
    }

    /// What a few nodes say now, as long as no record is refused: one that is may be right by what another node says.
    fn news(&self) -> Option<Vec<(String, Option<Host>)>> {
        let is_peaceful = self.refused.is_empty();
        self.shared.take(|directory| {
            let nodes = directory.take_news().filter(|_| is_peaceful)?;
            let said = |node: String| {
                let host = directory.peer(&node).ok()?.cloned();
                Some((node, host))
            };
            nodes.into_iter().map(said).collect()
        })
    }

    fn follow(&self, held: &Held, difference: &Difference) -> Result<(), Failure> {
        if difference.is_nothing() {
            return Ok(());
        }
        let Difference { changes, admit: new, expel: gone } = difference;
        let (network, mut nft) = (&self.config.network, Nft::open()?);
        if !new.is_empty() {
            admit(&mut nft, network, &held.device, new)?;
        }
        apply(&Rtnl::open()?, &held.link, changes)?;
        if !gone.is_empty() {
            expel(&mut nft, network, &held.device, gone)?;
        }
        tracing::info!(entries = changes.len(), admitted = new.len(), expelled = gone.len(), "followed");
        self.health.changed(changes.len());
        Ok(())
    }
}

/// The next reason to do something, news of a moment taken together; None when the time is up.
fn next(wakes: &mpsc::Receiver<Wake>, patience: Duration) -> Option<Wake> {
    let mut first = match wakes.recv_timeout(patience) {
        Ok(wake) => wake,
        Err(mpsc::RecvTimeoutError::Timeout) => return None,
        Err(mpsc::RecvTimeoutError::Disconnected) => return Some(Wake::Stop),
    };
    if first == Wake::Kernel {
        std::thread::sleep(SETTLING);
    }
    while let Ok(wake) = wakes.try_recv() {
        if first == Wake::Directory || wake == Wake::Stop {
            first = wake;
        }
    }
    Some(first)
}

/// Tells systemd, where it asked to be told.
fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "systemd was not told");
    }
}
