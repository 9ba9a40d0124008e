//! How an overlay's engine fares. Asked for people alone: no verb waits for an agent.

use std::{
    fmt,
    io::{self, Read, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use super::{Error, HostFile, peer_file, plan::Host};
use crate::{
    config::{Engine, OverlayConfig},
    rtnl::Rtnl,
};

/// Where an agent answers questions unless its configuration says otherwise.
pub const AGENT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9471);

/// How long an agent has for its answer, and how long that may be, in bytes.
const PATIENCE: Duration = Duration::from_secs(2);
const LENGTH: usize = 16 * 1024 * 1024;

/// Who makes routes by BGP, as rtnetlink's number (`proto bgp`).
const BGP: u8 = 186;

/// How an engine fares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "name", rename_all = "lowercase", rename_all_fields = "camelCase")]
pub enum EngineState {
    /// There is nothing that could fail.
    None,
    /// A list of peers.
    Static {
        /// The file of them; None where the configuration has them all, or was not asked.
        peer_file: Option<PathBuf>,
        /// How many records the file has, those that are left out among them; None where it cannot be read.
        records: Option<usize>,
    },
    /// An agent that follows etcd.
    Etcd {
        /// Where it is asked.
        listen: SocketAddr,
        /// What came of it.
        #[serde(flatten)]
        agent: Agent,
    },
    /// FRR.
    Evpn {
        /// The link through which other hosts' subnets are reached.
        bridge: String,
        /// How many routes inside the overlay it has by BGP.
        routes: usize,
    },
}

/// What an agent answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "agent", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Agent {
    /// It follows etcd.
    Follows {
        /// Hosts that it knows besides this one.
        peers: u64,
        /// Records that it leaves out.
        refused: u64,
        /// What it could not make true in the kernel.
        kernel: Option<String>,
    },
    /// It runs and does not follow etcd.
    CutOff {
        /// For how long.
        seconds: u64,
        /// Why.
        why: String,
        /// What it could not make true in the kernel.
        kernel: Option<String>,
    },
    /// Somebody else answers in its place.
    Stranger {
        /// Whose agent it is, if it is one.
        network: Option<String>,
    },
    /// There is no answer.
    Silent {
        /// Why.
        why: String,
    },
}

/// What /healthz says.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Health {
    network: String,
    etcd: String,
    /// 0 while it is followed.
    etcd_away_seconds: u64,
    kernel: String,
    peers: u64,
    refused: u64,
}

/// What an engine tells besides.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// The peers, where there is an agent that knows them.
    pub(super) peers: Option<Vec<Host>>,
    /// Records that are left out, and why.
    pub(super) refused: Vec<String>,
    /// What is wrong.
    pub(super) problems: Vec<String>,
}

/// How the engine fares, by what this host and, where it is given, the configuration say of it; None where there is none.
///
/// # Errors
/// The kernel cannot be asked.
pub(super) fn ask(
    network: &str,
    host: Option<&HostFile>,
    config: Option<&OverlayConfig>,
    rtnl: &Rtnl,
) -> Result<Option<(EngineState, Told)>, Error> {
    let Some(engine) = config.map(|config| config.engine).or(host.map(|host| host.engine)) else { return Ok(None) };
    Ok(Some(match engine {
        Engine::None => (EngineState::None, Told::default()),
        Engine::Static => {
            let left = host.and_then(|host| host.peer_file.clone());
            let peer_file = config.map_or(left, |config| config.peer_file.clone());
            let (records, told) = peer_file.as_deref().map(count).unwrap_or_default();
            // With the configuration, who compares the peers tells it.
            let told = if config.is_some() { Told::default() } else { told };
            (EngineState::Static { peer_file, records }, told)
        }
        Engine::Etcd => {
            let listen = host.and_then(|host| host.agent).unwrap_or(AGENT);
            let agent = Agent::ask(listen, network);
            let is_known = matches!(agent, Agent::Follows { .. } | Agent::CutOff { .. });
            let told = if is_known { peers_of(listen) } else { Told::default() };
            (EngineState::Etcd { listen, agent }, told)
        }
        Engine::Evpn => (frr(host, rtnl)?, Told::default()),
    }))
}

/// How many records a peer file has.
fn count(path: &Path) -> (Option<usize>, Told) {
    match peer_file::read(path) {
        Ok((hosts, refused)) => {
            let refused: Vec<_> = refused.iter().map(ToString::to_string).collect();
            (Some(hosts.len() + refused.len()), Told { refused, ..Told::default() })
        }
        Err(error) => (None, Told { problems: vec![error.to_string()], ..Told::default() }),
    }
}

fn frr(host: Option<&HostFile>, rtnl: &Rtnl) -> Result<EngineState, Error> {
    let vni = host.map(|host| host.vni).unwrap_or_default();
    let bridge = OverlayConfig::bridge_of(vni);
    let mut routes = 0;
    if let Some(link) = rtnl.link(&bridge)? {
        for network in host.iter().flat_map(|host| &host.network) {
            let all = rtnl.routes_by(&link, BGP, network.network().is_ipv6())?;
            routes += all.iter().filter(|route| network.contains(&route.dst)).count();
        }
    }
    Ok(EngineState::Evpn { bridge, routes })
}

/// What an agent says of the peers; an agent that is not in the overlay yet says nothing.
fn peers_of(listen: SocketAddr) -> Told {
    #[derive(Deserialize)]
    struct Peers {
        peers: Vec<Host>,
        refused: Vec<String>,
    }
    let answer = question(listen, "/peers").ok().and_then(|body| serde_json::from_str(&body).ok());
    let Some(Peers { peers, refused }) = answer else { return Told::default() };
    Told { peers: Some(peers), refused, ..Told::default() }
}

impl Agent {
    /// Asks whoever answers there, who should be the agent of that network.
    fn ask(listen: SocketAddr, network: &str) -> Self {
        let body = match question(listen, "/healthz") {
            Ok(body) => body,
            Err(error) => return Self::Silent { why: error.to_string() },
        };
        let Ok(health) = serde_json::from_str::<Health>(&body) else { return Self::Stranger { network: None } };
        if health.network != network {
            return Self::Stranger { network: Some(health.network) };
        }
        let Health { etcd, etcd_away_seconds: seconds, kernel, peers, refused, .. } = health;
        let kernel = Some(kernel).filter(|kernel| kernel != "right");
        if etcd == "reached" {
            Self::Follows { peers, refused, kernel }
        } else {
            Self::CutOff { seconds, why: etcd, kernel }
        }
    }
}

/// What is answered to a question by HTTP, without its head.
fn question(listen: SocketAddr, path: &str) -> io::Result<String> {
    let late = || io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {} s", PATIENCE.as_secs()));
    let mut stream = TcpStream::connect_timeout(&listen, PATIENCE)?;
    let end = Instant::now() + PATIENCE;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes())?;
    let (mut text, mut part) = (Vec::new(), [0; 4096]);
    while text.len() < LENGTH {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(late());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut part) {
            Ok(0) => break,
            Ok(length) => text.extend_from_slice(&part[..length]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(late()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let text = String::from_utf8_lossy(&text);
    Ok(text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
}

impl EngineState {
    /// Whether nothing of it has to be looked after.
    #[must_use]
    pub const fn is_right(&self) -> bool {
        match self {
            Self::None | Self::Evpn { .. } => true,
            Self::Static { peer_file, records } => peer_file.is_none() || records.is_some(),
            Self::Etcd { agent, .. } => matches!(agent, Agent::Follows { kernel: None, .. }),
        }
    }
}

impl fmt::Display for EngineState {
    /// In words, with what to do where there is something to do.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Static { peer_file: None, .. } => f.write_str("static, peers by the configuration"),
            Self::Static { peer_file: Some(path), records: Some(records) } => {
                write!(f, "static, peer file {} with {records} records", path.display())
            }
            Self::Static { peer_file: Some(path), records: None } => {
                write!(f, "static, peer file {} cannot be read: the peers stay as they are until then", path.display())
            }
            Self::Etcd { listen, agent } => write!(f, "etcd, agent at {listen} {agent}"),
            Self::Evpn { bridge, routes: 0 } => write!(
                f,
                "evpn, no route by BGP through {bridge}: there is no other host yet, or ask FRR \
                 (`vtysh -c 'show bgp l2vpn evpn summary' -c 'show evpn vni'`)"
            ),
            Self::Evpn { bridge, routes } => write!(f, "evpn, {routes} routes by BGP through {bridge}"),
        }
    }
}

impl fmt::Display for Agent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const STAYS: &str = "what is known stays in force, hosts that come or change are not followed until then";
        match self {
            Self::Follows { peers, refused, .. } => {
                write!(f, "follows etcd: {peers} peers")?;
                if *refused > 0 {
                    write!(f, ", {refused} records refused")?;
                }
            }
            Self::CutOff { seconds, why, .. } => {
                write!(f, "has not followed etcd for {seconds} s: {why}; {STAYS}")?;
            }
            Self::Stranger { network: Some(network) } => write!(
                f,
                "is that of network {network}: is this network's agent running, and has each its own \"listen\"?"
            )?,
            Self::Stranger { network: None } => {
                f.write_str("is not what answers there: is it of this version, and who else has its \"listen\"?")?;
            }
            Self::Silent { why } => write!(
                f,
                "does not answer: {why}; start it (`systemctl start groundwork-agent`) or see its log \
                 (`journalctl -u groundwork-agent`); {STAYS}"
            )?,
        }
        match self {
            Self::Follows { kernel: Some(kernel), .. } | Self::CutOff { kernel: Some(kernel), .. } => {
                write!(f, "; it cannot make the kernel right: {kernel}")
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// What is made of an answer.
    fn asked(answer: &'static str) -> Agent {
        let door = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = door.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = door.accept().unwrap();
            let mut question = [0; 25];
            stream.read_exact(&mut question).unwrap();
            assert_eq!(&question, b"GET /healthz HTTP/1.0\r\n\r\n");
            stream.write_all(answer.as_bytes()).unwrap();
        });
        let agent = Agent::ask(address, "pods");
        server.join().unwrap();
        agent
    }

    #[test]
    fn who_answers_in_the_agents_place_is_told_apart() {
        assert_eq!(asked("SSH-2.0-x\r\n"), Agent::Stranger { network: None });
        assert_eq!(asked("HTTP/1.0 200 OK\r\n\r\n{\"status\": \"ok\"}"), Agent::Stranger { network: None });
        assert_eq!(asked(""), Agent::Stranger { network: None });
        let other = asked(concat!(
            "HTTP/1.0 200 OK\r\n\r\n",
            r#"{"network":"web","etcd":"reached","etcdAwaySeconds":0,"kernel":"right","peers":1,"refused":0}"#
        ));
        assert_eq!(other, Agent::Stranger { network: Some("web".into()) });
    }

    #[test]
    fn both_faults_of_an_agent_are_told() {
        let agent = asked(concat!(
            "HTTP/1.0 503 Service Unavailable\r\ncontent-type: application/json\r\n\r\n",
            r#"{"network":"pods","etcd":"gone","etcdAwaySeconds":7,"kernel":"no vxlan","peers":0,"refused":0}"#
        ));
        let state = EngineState::Etcd { listen: AGENT, agent };
        assert!(!state.is_right());
        let words = state.to_string();
        assert!(words.starts_with("etcd, agent at 127.0.0.1:9471 has not followed etcd for 7 s: gone;"), "{words}");
        assert!(words.ends_with("; it cannot make the kernel right: no vxlan"), "{words}");
        let json = serde_json::to_value(&state).unwrap();
        let expected = serde_json::json!({
            "name": "etcd", "listen": "127.0.0.1:9471", "agent": "cutOff", "seconds": 7, "why": "gone",
            "kernel": "no vxlan",
        });
        assert_eq!(json, expected);
    }
}
