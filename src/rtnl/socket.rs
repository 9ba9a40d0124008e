//! The socket under rtnetlink. It remembers why it failed: the connection above it merely ends then.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicI32, Ordering},
    },
    task::{Context, Poll},
};

use bytes::BufMut;
use netlink_sys::{AsyncSocket, SocketAddr, TokioSocket};
use nix::errno::Errno;

/// A socket of tokio's reactor.
pub(super) struct Socket {
    inner: TokioSocket,
    failure: Failure,
}

/// Why a socket failed, if it did; shared with whoever waits for answers.
#[derive(Debug, Clone, Default)]
pub(super) struct Failure(Arc<AtomicI32>);

impl Failure {
    /// The first errno.
    pub(super) fn errno(&self) -> Option<Errno> {
        let errno = self.0.load(Ordering::Relaxed);
        (errno != 0).then(|| Errno::from_raw(errno))
    }

    fn note<T>(&self, done: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if let Poll::Ready(Err(error)) = &done {
            let errno = error.raw_os_error().unwrap_or(Errno::EIO as i32);
            let _ = self.0.compare_exchange(0, errno, Ordering::Relaxed, Ordering::Relaxed);
        }
        done
    }
}

impl Socket {
    pub(super) fn failure(&self) -> Failure {
        self.failure.clone()
    }
}

impl AsyncSocket for Socket {
    fn socket_ref(&self) -> &netlink_sys::Socket {
        self.inner.socket_ref()
    }

    fn socket_mut(&mut self) -> &mut netlink_sys::Socket {
        self.inner.socket_mut()
    }

    fn new(protocol: isize) -> io::Result<Self> {
        Ok(Self { inner: TokioSocket::new(protocol)?, failure: Failure::default() })
    }

    fn poll_send(&self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.failure.note(self.inner.poll_send(cx, buf))
    }

    fn poll_send_to(&self, cx: &mut Context<'_>, buf: &[u8], addr: &SocketAddr) -> Poll<io::Result<usize>> {
        self.failure.note(self.inner.poll_send_to(cx, buf, addr))
    }

    fn poll_recv<B: BufMut>(&self, cx: &mut Context<'_>, buf: &mut B) -> Poll<io::Result<()>> {
        self.failure.note(self.inner.poll_recv(cx, buf))
    }

    fn poll_recv_from<B: BufMut>(&self, cx: &mut Context<'_>, buf: &mut B) -> Poll<io::Result<SocketAddr>> {
        self.failure.note(self.inner.poll_recv_from(cx, buf))
    }

    fn poll_recv_from_full(&self, cx: &mut Context<'_>) -> Poll<io::Result<(Vec<u8>, SocketAddr)>> {
        self.failure.note(self.inner.poll_recv_from_full(cx))
    }
}
