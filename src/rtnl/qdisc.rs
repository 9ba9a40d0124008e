//! Queueing disciplines: what a link sends is shaped, what it receives is redirected to where it can be.

use netlink_packet_core::{DefaultNla, Nla, NlasIterator, Parseable};
use netlink_packet_route::tc::{
    TcAction, TcActionAttribute, TcActionMirror, TcActionMirrorOption, TcActionOption, TcActionType, TcAttribute,
    TcFilterU32, TcFilterU32Option, TcHandle, TcMessage, TcMirror, TcMirrorActionType, TcOption, TcU32Key,
    TcU32Selector, TcU32SelectorFlags,
};
use nix::{
    errno::Errno,
    libc::{RTM_DELQDISC, RTM_GETQDISC, RTM_GETTFILTER, RTM_NEWQDISC, RTM_NEWTFILTER},
};

use super::{Error, Link, NEW, Rtnl, Shaper, values::Qdisc};

const TBF: &str = "tbf";
const INGRESS: &str = "ingress";

/// The handle of our shaper at a link's root, as the reference plugin's.
const SHAPER: TcHandle = TcHandle { major: 1, minor: 0 };

/// The handle of what a link receives.
const REDIRECTION: TcHandle = TcHandle { major: u16::MAX, minor: 0 };

// Attributes of tbf's options, linux/pkt_sched.h.
const PARMS: u16 = 1;
const RATE64: u16 = 4;
const BURST: u16 = 6;

const LINKLAYER_ETHERNET: u8 = 1;
const ETH_P_ALL: u16 = 3u16.to_be();

/// Nanoseconds in one tick of traffic control.
const TICK: u64 = 64;

impl Rtnl {
    /// Shapes what a link sends.
    ///
    /// # Errors
    /// EEXIST when somebody gave the link a queueing discipline already; any other refusal.
    pub fn shape(&self, link: &Link, shaper: &Shaper) -> Result<(), Error> {
        let mut message = TcMessage::with_index(link.index.cast_signed());
        message.header.parent = TcHandle::ROOT;
        message.header.handle = SHAPER;
        message.attributes = vec![TcAttribute::Kind(TBF.into()), TcAttribute::Options(options(shaper))];
        self.run((RTM_NEWQDISC, message), NEW, || format!("tc qdisc add dev {} root handle 1: {shaper}", link.name))
    }

    /// Redirects all that a link receives to another, which sends it back later.
    ///
    /// # Errors
    /// EEXIST when somebody gave the link an ingress discipline already; any other refusal.
    pub fn redirect(&self, link: &Link, to: &Link) -> Result<(), Error> {
        let mut message = TcMessage::with_index(link.index.cast_signed());
        message.header.parent = TcHandle::INGRESS;
        message.header.handle = REDIRECTION;
        message.attributes = vec![TcAttribute::Kind(INGRESS.into())];
        self.run((RTM_NEWQDISC, message), NEW, || format!("tc qdisc add dev {} ingress", link.name))?;
        let doing = || {
            format!(
                "tc filter add dev {} parent ffff: u32 match u8 0 0 action mirred egress redirect dev {}",
                link.name, to.name
            )
        };
        self.run((RTM_NEWTFILTER, redirection(link, to)), NEW, doing)
    }

    /// The shaper of what a link sends, if it has one at its root.
    ///
    /// # Errors
    /// Any refusal.
    pub fn shaper(&self, link: &Link) -> Result<Option<Shaper>, Error> {
        let is_root = |message: &TcMessage| kind(message) == Some(TBF) && message.header.parent == TcHandle::ROOT;
        Ok(self.qdiscs(link)?.iter().find(|message| is_root(message)).and_then(shaper_of))
    }

    /// Whether all that a link receives is redirected to another.
    ///
    /// # Errors
    /// Any refusal.
    pub fn redirects(&self, link: &Link, to: &Link) -> Result<bool, Error> {
        if !self.qdiscs(link)?.iter().any(|message| kind(message) == Some(INGRESS)) {
            return Ok(false);
        }
        let mut asked = TcMessage::with_index(link.index.cast_signed());
        asked.header.parent = TcHandle { major: u16::MAX, minor: TcHandle::MIN_INGRESS };
        let doing = || format!("tc filter show dev {} ingress", link.name);
        let filters = self.list((RTM_GETTFILTER, asked), TcMessage::parse, doing)?;
        Ok(filters.iter().any(|filter| destination(filter) == Some(to.index)))
    }

    /// The queueing disciplines that somebody gave a link at its root; the kernel's own have no handle.
    ///
    /// # Errors
    /// Any refusal.
    pub fn chosen_qdiscs(&self, link: &Link) -> Result<Vec<Qdisc>, Error> {
        let chosen = |message: TcMessage| {
            let receives = message.header.parent == TcHandle::INGRESS;
            let is_root = receives || (message.header.parent == TcHandle::ROOT && message.header.handle.major != 0);
            Some(Qdisc { kind: kind(&message)?.to_owned(), receives }).filter(|_| is_root)
        };
        Ok(self.qdiscs(link)?.into_iter().filter_map(chosen).collect())
    }

    /// Takes away what [`Rtnl::shape`] gave a link. What is not there, or another's, stays.
    ///
    /// # Errors
    /// Any refusal but that there is no such thing.
    pub fn unshape(&self, link: &Link) -> Result<(), Error> {
        self.delete_qdisc(link, TBF, TcHandle::ROOT, SHAPER)
    }

    /// Takes away what [`Rtnl::redirect`] gave a link.
    ///
    /// # Errors
    /// As [`Rtnl::unshape`].
    pub fn unredirect(&self, link: &Link) -> Result<(), Error> {
        self.delete_qdisc(link, INGRESS, TcHandle::INGRESS, REDIRECTION)
    }

    fn delete_qdisc(&self, link: &Link, kind: &str, parent: TcHandle, handle: TcHandle) -> Result<(), Error> {
        let mut message = TcMessage::with_index(link.index.cast_signed());
        message.header.parent = parent;
        message.header.handle = handle;
        message.attributes.push(TcAttribute::Kind(kind.into()));
        match self.run((RTM_DELQDISC, message), 0, || format!("tc qdisc del dev {} {kind}", link.name)) {
            // Not there, or of another kind or handle.
            Err(error) if matches!(error.errno(), Some(Errno::ENOENT | Errno::ENODEV | Errno::EINVAL)) => Ok(()),
            done => done,
        }
    }

    fn qdiscs(&self, link: &Link) -> Result<Vec<TcMessage>, Error> {
        let index = link.index.cast_signed();
        let doing = || format!("tc qdisc show dev {}", link.name);
        let all = self.list((RTM_GETQDISC, TcMessage::with_index(index)), TcMessage::parse, doing)?;
        Ok(all.into_iter().filter(|message| message.header.index == index).collect())
    }
}

/// A filter that lets no packet of what a link receives pass, and redirects it.
fn redirection(link: &Link, to: &Link) -> TcMessage {
    let mut selector = TcU32Selector::default();
    selector.flags = TcU32SelectorFlags::Terminal;
    selector.nkeys = 1;
    selector.keys = vec![TcU32Key::default()];
    let mut redirect = TcMirror::default();
    redirect.generic.action = TcActionType::Stolen;
    redirect.eaction = TcMirrorActionType::EgressRedir;
    redirect.ifindex = to.index;
    let mut action = TcAction::default();
    action.attributes = vec![
        TcActionAttribute::Kind(TcActionMirror::KIND.into()),
        TcActionAttribute::Options(vec![TcActionOption::Mirror(TcActionMirrorOption::Parms(redirect))]),
    ];
    let options = [TcFilterU32Option::Selector(selector), TcFilterU32Option::Action(vec![action])];
    let mut message = TcMessage::with_index(link.index.cast_signed());
    message.header.parent = REDIRECTION;
    message.header.info = TcHandle { major: 1, minor: ETH_P_ALL }.into(); // priority, protocol
    message.attributes = vec![
        TcAttribute::Kind(TcFilterU32::KIND.into()),
        TcAttribute::Options(options.into_iter().map(TcOption::U32).collect()),
    ];
    message
}

fn kind(message: &TcMessage) -> Option<&str> {
    message.attributes.iter().find_map(|attribute| match attribute {
        TcAttribute::Kind(kind) => Some(kind.as_str()),
        _ => None,
    })
}

/// `struct tc_tbf_qopt` and what does not fit into it. The kernel computes with `BURST`; the buffer is the same in ticks.
fn options(shaper: &Shaper) -> Vec<TcOption> {
    let rate = u32::try_from(shaper.rate).unwrap_or(u32::MAX);
    let nanoseconds = u128::from(shaper.burst) * 1_000_000_000 / u128::from(shaper.rate.max(1));
    let buffer = u32::try_from(nanoseconds / u128::from(TICK)).unwrap_or(u32::MAX);
    let mut parms = rate_spec(rate);
    parms.extend(rate_spec(0)); // no peak rate
    for number in [shaper.limit, buffer, 0] {
        parms.extend(number.to_ne_bytes());
    }
    let mut options = vec![DefaultNla::new(PARMS, parms), DefaultNla::new(BURST, shaper.burst.to_ne_bytes().into())];
    if shaper.rate > u64::from(u32::MAX) {
        options.push(DefaultNla::new(RATE64, shaper.rate.to_ne_bytes().into()));
    }
    options.into_iter().map(TcOption::Other).collect()
}

/// `struct tc_ratespec`.
fn rate_spec(rate: u32) -> Vec<u8> {
    let layer = if rate == 0 { 0 } else { LINKLAYER_ETHERNET };
    let mut bytes = vec![0, layer, 0, 0, 0, 0, 0, 0];
    bytes.extend(rate.to_ne_bytes());
    bytes
}

/// The kernel tells the burst as the ticks that it takes.
fn shaper_of(message: &TcMessage) -> Option<Shaper> {
    let options = message.attributes.iter().find_map(|attribute| match attribute {
        TcAttribute::Options(options) => options.first(),
        _ => None,
    })?;
    let TcOption::Other(nested) = options else { return None };
    let mut bytes = vec![0; nested.value_len()];
    nested.emit_value(&mut bytes);
    let (mut parms, mut rate64) = (None, None);
    for attribute in NlasIterator::new(&bytes[..]).filter_map(Result::ok) {
        match attribute.kind() {
            PARMS => parms = Some(attribute.value().to_vec()),
            RATE64 => rate64 = attribute.value().try_into().ok().map(u64::from_ne_bytes),
            _ => {}
        }
    }
    let parms = parms?;
    let number = |at: usize| Some(u32::from_ne_bytes(parms.get(at..at + 4)?.try_into().ok()?));
    let rate = rate64.unwrap_or(u64::from(number(8)?));
    let burst = u128::from(number(28)?) * u128::from(TICK) * u128::from(rate) / 1_000_000_000;
    Some(Shaper { rate, limit: number(24)?, burst: u32::try_from(burst).unwrap_or(u32::MAX) })
}

/// The index of the link to which a filter redirects.
fn destination(filter: &TcMessage) -> Option<u32> {
    let options = filter.attributes.iter().find_map(|attribute| match attribute {
        TcAttribute::Options(options) => Some(options),
        _ => None,
    })?;
    let actions = options.iter().find_map(|option| match option {
        TcOption::U32(TcFilterU32Option::Action(actions)) => Some(actions),
        _ => None,
    })?;
    actions.iter().flat_map(|action| &action.attributes).find_map(|attribute| {
        let TcActionAttribute::Options(options) = attribute else { return None };
        options.iter().find_map(|option| match option {
            TcActionOption::Mirror(TcActionMirrorOption::Parms(mirror)) => Some(mirror.ifindex),
            _ => None,
        })
    })
}
