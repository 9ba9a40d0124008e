//! etcd, as far as the agent uses it. Nothing waits longer than [`PATIENCE`] for an answer.

use std::{
    error::Error as _,
    fmt,
    hash::{BuildHasher, RandomState},
    time::Duration,
};

use etcd_client::{
    Certificate, Client, Compare, CompareOp, ConnectOptions, GetOptions, Identity, LeaseKeepAliveStream, LeaseKeeper,
    PutOptions, TlsOptions, Txn, TxnOp, TxnOpResponse, WatchOptions, WatchStream,
};

use super::{
    config::{ConfigProblem, EtcdConfig, read},
    directory::Entry,
};

/// How long an answer is waited for.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// Keys asked for at once: an answer must stay below what gRPC takes, 4 MiB.
const PAGE: i64 = 2_000;

/// Why something could not be had from etcd.
#[derive(Debug, thiserror::Error)]
pub enum EtcdError {
    /// A file that is needed to connect.
    #[error(transparent)]
    Config(#[from] ConfigProblem),
    /// No answer came.
    #[error("cannot {doing}: no answer within {} s", PATIENCE.as_secs())]
    Silence {
        /// What was tried.
        doing: String,
    },
    /// etcd refused, or was not reached.
    #[error("cannot {doing}: {}{}", explain(source), advice(source))]
    Refused {
        /// What was tried.
        doing: String,
        /// What came back.
        source: Box<etcd_client::Error>,
    },
    /// None of several members can be used.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Members(Vec<EtcdError>),
}

impl EtcdError {
    fn refused(doing: &dyn fmt::Display, source: etcd_client::Error) -> Self {
        Self::Refused { doing: doing.to_string(), source: Box::new(source) }
    }
}

/// The error and what it came from: gRPC says no more than "transport error" by itself.
#[must_use]
pub fn explain(error: &etcd_client::Error) -> String {
    let mut text = match error {
        etcd_client::Error::GRpcStatus(status) => status.message().to_owned(),
        other => other.to_string(),
    };
    let mut source = match error {
        etcd_client::Error::GRpcStatus(status) => status.source(),
        other => other.source(),
    };
    while let Some(cause) = source {
        let said = cause.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        source = cause.source();
    }
    text
}

fn advice(error: &etcd_client::Error) -> &'static str {
    let etcd_client::Error::GRpcStatus(status) = error else { return "" };
    match status.message() {
        text if text.contains("permission denied") => {
            ": give the user's role these keys (docs/etcd.md has the commands)"
        }
        text if text.contains("user name is empty") => ": etcd wants a user: set etcd.user and etcd.passwordFile",
        text if text.contains("invalid user ID or password") => ": see etcd.user and the file etcd.passwordFile",
        _ => "",
    }
}

/// A connection to one of etcd's members.
pub struct Etcd {
    client: Client,
}

/// A lease that is kept up, with the stream of etcd's answers.
pub struct Lease {
    id: i64,
    keeper: LeaseKeeper,
    answers: LeaseKeepAliveStream,
}

fn options(config: &EtcdConfig) -> Result<ConnectOptions, EtcdError> {
    let mut options = ConnectOptions::new()
        .with_connect_timeout(PATIENCE)
        .with_keep_alive(Duration::from_secs(5), PATIENCE)
        .with_keep_alive_while_idle(true)
        .with_require_leader(true)
        .with_auto_token_refresh(true);
    if let Some(ca) = &config.ca {
        let mut tls = TlsOptions::new().ca_certificate(Certificate::from_pem(read(ca)?));
        if let (Some(cert), Some(key)) = (&config.cert, &config.key) {
            tls = tls.identity(Identity::from_pem(read(cert)?, read(key)?));
        }
        options = options.with_tls(tls);
    }
    if let Some((user, password)) = config.credentials()? {
        options = options.with_user(user, password);
    }
    Ok(options)
}

async fn in_time<T>(
    doing: impl fmt::Display,
    answer: impl Future<Output = Result<T, etcd_client::Error>>,
) -> Result<T, EtcdError> {
    match tokio::time::timeout(PATIENCE, answer).await {
        Ok(answer) => answer.map_err(|source| EtcdError::refused(&doing, source)),
        Err(_) => Err(EtcdError::Silence { doing: doing.to_string() }),
    }
}

impl Etcd {
    /// Connects to the first member, from a random one on, by which `key` can be read, and logs in where a user is set.
    /// Files are read anew: certificates and passwords change.
    ///
    /// # Errors
    /// A file cannot be read, or there is no such member.
    pub async fn connect(config: &EtcdConfig, key: &str) -> Result<Self, EtcdError> {
        let options = options(config)?;
        let count = config.endpoints.len();
        let first = usize::try_from(RandomState::new().hash_one(0) >> 8).unwrap_or_default() % count.max(1);
        let mut problems = Vec::new();
        for endpoint in config.endpoints.iter().cycle().skip(first).take(count) {
            match Self::member(endpoint, options.clone(), key).await {
                Ok(etcd) => return Ok(etcd),
                Err(problem) => problems.push(problem),
            }
        }
        match problems.pop() {
            Some(only) if problems.is_empty() => Err(only),
            last => Err(EtcdError::Members(problems.into_iter().chain(last).collect())),
        }
    }

    /// One member, asked a question that needs its quorum.
    async fn member(endpoint: &str, options: ConnectOptions, key: &str) -> Result<Self, EtcdError> {
        let doing = format!("reach etcd at {endpoint}");
        let reach = async {
            let mut client = Client::connect([endpoint], Some(options)).await?;
            client.get(key, Some(GetOptions::new().with_keys_only())).await?;
            Ok(client)
        };
        Ok(Self { client: in_time(doing, reach).await? })
    }

    /// Everything below a root, as it was at one revision.
    ///
    /// # Errors
    /// etcd refuses or is silent.
    pub async fn list(&mut self, root: &str) -> Result<(i64, Vec<Entry>), EtcdError> {
        let end = end_of(root);
        let (mut all, mut from, mut revision) = (Vec::new(), root.as_bytes().to_vec(), 0);
        loop {
            let options = GetOptions::new().with_range(end.clone()).with_limit(PAGE).with_revision(revision);
            let mut page = in_time(format!("list {root}"), self.client.get(from, Some(options))).await?;
            if revision == 0 {
                revision = page.header().map_or(0, etcd_client::ResponseHeader::revision);
            }
            let more = page.more();
            all.extend(page.take_kvs().into_iter().map(|pair| {
                let revision = pair.mod_revision();
                let (key, value) = pair.into_key_value();
                Entry { key, value, revision }
            }));
            match all.last() {
                Some(last) if more => from = [last.key.as_slice(), &[0]].concat(),
                _ => return Ok((revision, all)),
            }
        }
    }

    /// How many keys there are below a root, and how many of them changed after a revision.
    ///
    /// # Errors
    /// etcd refuses or is silent.
    pub async fn census(&mut self, root: &str, after: i64) -> Result<(usize, usize), EtcdError> {
        let options = GetOptions::new().with_prefix().with_keys_only().with_min_mod_revision(after + 1);
        let answer = in_time(format!("count the keys of {root}"), self.client.get(root, Some(options))).await?;
        Ok((usize::try_from(answer.count()).unwrap_or_default(), answer.kvs().len()))
    }

    /// Follows what changes below a root from a revision on.
    ///
    /// # Errors
    /// etcd refuses or is silent.
    pub async fn watch(&mut self, root: &str, from: i64) -> Result<WatchStream, EtcdError> {
        let options = WatchOptions::new().with_prefix().with_start_revision(from).with_progress_notify();
        in_time(format!("watch {root}"), self.client.watch(root, Some(options))).await
    }

    /// Writes keys of which none may be there: all or none. Whether it was done.
    ///
    /// # Errors
    /// etcd refuses or is silent.
    pub async fn create(&mut self, keys: Vec<String>, value: &str) -> Result<bool, EtcdError> {
        let doing = format!("claim {}", keys.join(" and "));
        let absent: Vec<_> =
            keys.iter().map(|key| Compare::create_revision(key.as_str(), CompareOp::Equal, 0)).collect();
        let puts: Vec<_> = keys.into_iter().map(|key| TxnOp::put(key, value, None)).collect();
        let answer = in_time(doing, self.client.txn(Txn::new().when(absent).and_then(puts))).await?;
        Ok(answer.succeeded())
    }

    /// Writes a key.
    ///
    /// # Errors
    /// etcd refuses or is silent.
    pub async fn put(&mut self, key: String, value: Vec<u8>) -> Result<(), EtcdError> {
        in_time(format!("write {key}"), self.client.put(key, value, None)).await.map(drop)
    }

    /// A lease of so many seconds.
    ///
    /// # Errors
    /// etcd refuses or is silent.
    pub async fn lease(&mut self, seconds: i64) -> Result<Lease, EtcdError> {
        let id = in_time("have a lease", self.client.lease_grant(seconds, None)).await?.id();
        let (keeper, answers) = in_time("keep the lease up", self.client.lease_keep_alive(id)).await?;
        Ok(Lease { id, keeper, answers })
    }

    /// Puts `value` to a key for as long as the lease lives, unless there is another value than that and `former`; the
    /// other value then.
    ///
    /// # Errors
    /// etcd refuses or is silent.
    pub async fn occupy(
        &mut self,
        key: &str,
        value: &str,
        former: Option<&str>,
        lease: &Lease,
    ) -> Result<Option<String>, EtcdError> {
        let absent = Compare::create_revision(key, CompareOp::Equal, 0);
        let of = |value: &str| Compare::value(key, CompareOp::Equal, value);
        let mut found = None;
        for condition in [Some(absent), Some(of(value)), former.map(of)].into_iter().flatten() {
            let put = TxnOp::put(key, value, Some(PutOptions::new().with_lease(lease.id)));
            let txn = Txn::new().when([condition]).and_then([put]).or_else([TxnOp::get(key, None)]);
            let answer = in_time(format!("write {key}"), self.client.txn(txn)).await?;
            if answer.succeeded() {
                return Ok(None);
            }
            found = answer.op_responses().into_iter().find_map(|response| match response {
                TxnOpResponse::Get(found) => found.kvs().first().map(|pair| pair.value().to_vec()),
                _ => None,
            });
        }
        Ok(Some(String::from_utf8_lossy(&found.unwrap_or_default()).into_owned()))
    }

    /// Ends a lease, and with it the keys that depend on it.
    ///
    /// # Errors
    /// etcd refuses or is silent.
    pub async fn revoke(&mut self, lease: Lease) -> Result<(), EtcdError> {
        in_time("end the lease", self.client.lease_revoke(lease.id)).await.map(drop)
    }
}

impl Lease {
    /// Makes it last again; false when it has ended.
    ///
    /// # Errors
    /// etcd refuses or is silent.
    pub async fn renew(&mut self) -> Result<bool, EtcdError> {
        in_time("keep the lease up", self.keeper.keep_alive()).await?;
        let answer = in_time("keep the lease up", self.answers.message()).await?;
        Ok(answer.is_some_and(|answer| answer.ttl() > 0))
    }
}

/// The first key behind all that begin with `root`.
fn end_of(root: &str) -> Vec<u8> {
    let mut end = root.as_bytes().to_vec();
    if let Some(last) = end.last_mut() {
        *last = last.saturating_add(1); // a slash
    }
    end
}
