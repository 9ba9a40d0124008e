//! How the agent fares and what it knows: /healthz, /metrics and /peers on loopback.

use std::{
    convert::Infallible,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, AtomicU64},
    },
    time::{Duration, Instant},
};

use http_body_util::Full;
use hyper::{Method, Request, Response, StatusCode, body::Bytes, body::Incoming, header::CONTENT_TYPE};
use hyper_util::rt::{TokioIo, TokioTimer};
use ipnet::IpNet;
use prometheus_client::{
    encoding::text::encode,
    metrics::{counter::Counter, gauge::Gauge},
    registry::Registry,
};
use serde_json::json;
use tokio::net::TcpListener;

use super::shared::Shared;
use crate::overlay::plan::{Host, derived_mac};

/// How many may ask at a time.
const QUESTIONS: usize = 16;

/// Before the host has a subnet, nothing is expected of the kernel.
const NO_SUBNET: &str = "waits for a subnet";

/// What is known of it.
pub(super) struct Health {
    network: String,
    node: String,
    shared: Arc<Shared>,
    state: Mutex<State>,
    registry: Registry,
    etcd_up: Level,
    kernel_right: Level,
    peers: Level,
    refused: Level,
    alive: Level,
    etcd_failures: Count,
    races: Count,
    changes: Count,
    kernel_failures: Count,
}

type Level = Gauge<i64, AtomicI64>;
type Count = Counter<u64, AtomicU64>;

#[derive(Default)]
struct State {
    /// Why etcd is not reached, and since when; None while it is.
    etcd: Option<(String, Instant)>,
    /// Why the kernel is not as it has to be; None while it is.
    kernel: Option<String>,
    subnets: Vec<IpNet>,
    vtep: Option<IpAddr>,
}

impl Health {
    /// Of this node's agent of this network.
    pub(super) fn new(network: &str, node: &str, shared: Arc<Shared>) -> Self {
        let mut registry = Registry::with_prefix("groundwork_overlay");
        let mut level = |name: &str, help: &str| {
            let level = Level::default();
            registry.register(name, help, level.clone());
            level
        };
        let etcd_up = level("etcd_up", "1 while etcd is followed");
        let kernel_right = level("kernel_right", "1 while the kernel is as it has to be");
        let peers = level("peers", "Other hosts that are followed");
        let refused = level("records_refused", "Records of other hosts that are not followed");
        let alive = level("nodes_alive", "Nodes that give a sign of life, this one among them");
        let mut count = |name: &str, help: &str| {
            let count = Count::default();
            registry.register(name, help, count.clone());
            count
        };
        Self {
            network: network.to_owned(),
            node: node.to_owned(),
            shared,
            etcd_up,
            kernel_right,
            peers,
            refused,
            alive,
            etcd_failures: count("etcd_failures", "How often etcd could not be followed"),
            races: count("races_lost", "How often another host was faster to claim a subnet"),
            changes: count("changes", "Entries changed in the kernel"),
            kernel_failures: count("kernel_failures", "How often the kernel could not be made right"),
            state: Mutex::new(State {
                etcd: Some(("not reached yet".into(), Instant::now())),
                kernel: Some(NO_SUBNET.into()),
                ..State::default()
            }),
            registry,
        }
    }

    pub(super) fn etcd_reached(&self) {
        self.lock().etcd = None;
        self.etcd_up.set(1);
    }

    /// Whether that is news.
    pub(super) fn etcd_lost(&self, why: &str) -> bool {
        self.etcd_up.set(0);
        self.etcd_failures.inc();
        let mut state = self.lock();
        let (known, since) = state.etcd.take().unwrap_or_else(|| (String::new(), Instant::now()));
        state.etcd = Some((why.to_owned(), since));
        known != why
    }

    pub(super) fn race_lost(&self) {
        self.races.inc();
    }

    pub(super) fn kernel_right(&self, subnets: &[IpNet], vtep: IpAddr) {
        let mut state = self.lock();
        (state.subnets, state.vtep, state.kernel) = (subnets.to_vec(), Some(vtep), None);
        self.kernel_right.set(1);
    }

    pub(super) fn kernel_waits(&self) {
        self.lock().kernel = Some(NO_SUBNET.into());
        self.kernel_right.set(0);
    }

    /// Whether that is news.
    pub(super) fn kernel_failed(&self, why: &str) -> bool {
        self.kernel_right.set(0);
        self.kernel_failures.inc();
        self.lock().kernel.replace(why.to_owned()).as_deref() != Some(why)
    }

    pub(super) fn counted(&self, peers: usize, refused: usize, alive: usize) {
        for (level, number) in [(&self.peers, peers), (&self.refused, refused), (&self.alive, alive)] {
            level.set(i64::try_from(number).unwrap_or(i64::MAX));
        }
    }

    pub(super) fn changed(&self, entries: usize) {
        self.changes.inc_by(u64::try_from(entries).unwrap_or(u64::MAX));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether containers can be given a network that reaches the other hosts that are known, and why not. That etcd is
    /// lost is told, and is no illness: all that is known stays in force, and restarting the agent would help nobody.
    fn report(&self) -> (bool, String) {
        let state = self.lock();
        let report = json!({
            "network": self.network,
            "etcd": state.etcd.as_ref().map_or("reached", |(why, _)| why),
            "etcdAwaySeconds": state.etcd.as_ref().map_or(0, |(_, since)| since.elapsed().as_secs()),
            "kernel": state.kernel.as_deref().unwrap_or("right"),
            "subnets": state.subnets,
            "vtep": state.vtep,
            "peers": self.peers.get(),
            "refused": self.refused.get(),
        });
        (state.kernel.is_none(), format!("{report}\n"))
    }

    /// The peers by what etcd said last, and what is not followed; None before this host is in the overlay.
    fn peers(&self) -> Option<String> {
        let networks = self.shared.membership()?.settings.overlay.networks;
        let (subnets, vtep) = {
            let state = self.lock();
            (state.subnets.clone(), state.vtep?)
        };
        let own = Host { node: self.node.clone(), subnets, vtep, mac: derived_mac(vtep) };
        let (peers, refused) = self.shared.with(|directory| directory.peers(&own, &networks));
        let refused: Vec<_> = refused.iter().map(ToString::to_string).collect();
        Some(format!("{}\n", json!({ "peers": peers, "refused": refused })))
    }

    fn metrics(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }

    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let (status, kind, text) = match (request.method(), request.uri().path()) {
            (&Method::GET, "/healthz") => {
                let (is_well, report) = self.report();
                let status = if is_well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
                (status, "application/json", report)
            }
            (&Method::GET, "/metrics") => {
                (StatusCode::OK, "application/openmetrics-text; version=1.0.0; charset=utf-8", self.metrics())
            }
            (&Method::GET, "/peers") => match self.peers() {
                Some(peers) => (StatusCode::OK, "application/json", peers),
                None => (StatusCode::SERVICE_UNAVAILABLE, "text/plain", format!("{NO_SUBNET}\n")),
            },
            _ => (StatusCode::NOT_FOUND, "text/plain", "/healthz, /metrics and /peers\n".into()),
        };
        let mut response = Response::new(Full::new(Bytes::from(text)));
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(kind));
        response
    }
}

/// Opens the door for questions. Another program at the address, or the agent's own last run, is no reason to fail.
async fn listen(address: SocketAddr) -> TcpListener {
    let mut is_told = false;
    loop {
        match TcpListener::bind(address).await {
            Ok(listener) => return listener,
            Err(error) if !is_told => {
                tracing::warn!(%error, %address, "cannot listen yet (\"listen\" in the configuration)");
                is_told = true;
            }
            Err(_) => {}
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// Answers questions at a loopback address; never ends by itself.
pub(super) async fn serve(address: SocketAddr, health: Arc<Health>) {
    let listener = listen(address).await;
    let room = Arc::new(tokio::sync::Semaphore::new(QUESTIONS));
    loop {
        let Ok(place) = Arc::clone(&room).acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a question could not be taken");
                tokio::time::sleep(Duration::from_secs(1)).await;
                continue;
            }
        };
        let health = Arc::clone(&health);
        tokio::spawn(async move {
            let service = hyper::service::service_fn(move |request| {
                let response = health.answer(&request);
                async move { Ok::<_, Infallible>(response) }
            });
            let mut server = hyper::server::conn::http1::Builder::new();
            server.timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(5)).keep_alive(false);
            if let Err(error) = server.serve_connection(TokioIo::new(stream), service).await {
                tracing::debug!(%error, "a question was broken off");
            }
            drop(place);
        });
    }
}
