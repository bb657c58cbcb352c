//! What a process holds of the network: streams and listeners.
//!
//! Models: reads and writes that wait for the kernel's buffers, half-close, a close by dropping (a reset, if something
//! was left unread), a dial that is dropped half-way. A write has succeeded once the kernel has it, not the peer; a
//! flush therefore has nothing to do.
//!
//! Does not model: socket options (what they would set is [`StreamConfig`](super::StreamConfig)'s, for all alike), TLS,
//! one process that hands a stream to another, and errors of the local machine, such as no more file descriptors.

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use warren::platform::Listener;

use super::{ConnectionId, connection::Phase};
use crate::sim::machine::Machine;

/// One end of a simulated stream. Dropping it says goodbye: with a reset if something was left unread.
pub struct SimStream {
    machine: Rc<Machine>,
    id: ConnectionId,
}

impl SimStream {
    fn poll_with<T>(
        &self,
        act: impl FnOnce(&mut super::connection::Connection, &super::StreamConfig) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        self.machine.kernel.with(|stack| {
            let Some((connection, config)) = stack.connection(self.id) else {
                // The machine lost power under the process; nobody is left to see this.
                return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
            };
            let result = act(connection, config);
            if connection.wants_flush() {
                stack.changed(self.id);
            }
            result
        })
    }
}

impl AsyncRead for SimStream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if buffer.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        self.poll_with(|connection, config| match connection.read(buffer, config) {
            Some(result) => Poll::Ready(result.map(|_| ())),
            None => {
                connection.read_waker = Some(context.waker().clone());
                Poll::Pending
            }
        })
    }
}

impl AsyncWrite for SimStream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_with(|connection, config| match connection.write(bytes, config) {
            Some(result) => Poll::Ready(result),
            None => {
                connection.write_waker = Some(context.waker().clone());
                Poll::Pending
            }
        })
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_with(|connection, _| {
            connection.finish();
            Poll::Ready(Ok(()))
        })
    }
}

impl Drop for SimStream {
    fn drop(&mut self) {
        let now = self.machine.now();
        self.machine.kernel.with(|stack| stack.close(now, self.id));
    }
}

/// Dials `port` of `to`.
pub(in crate::sim) async fn connect(
    machine: Rc<Machine>,
    to: crate::sim::MachineId,
    port: u16,
) -> io::Result<SimStream> {
    let (id, now) = (machine.world.fresh_connection(), machine.now());
    machine.kernel.with(|stack| stack.dial(now, id, to, port));
    // From here on the drop of the stream, also of a cancelled dial, cleans up.
    let stream = SimStream { machine, id };
    poll_fn(|context| {
        stream.poll_with(|connection, _| {
            if let Some(error) = connection.error {
                return Poll::Ready(Err(error.into()));
            }
            if connection.phase == Phase::Established {
                return Poll::Ready(Ok(()));
            }
            connection.write_waker = Some(context.waker().clone());
            Poll::Pending
        })
    })
    .await?;
    Ok(stream)
}

/// Binds `port`; 0 for any.
pub(in crate::sim) fn listen(machine: Rc<Machine>, port: u16) -> io::Result<SimListener> {
    let (port, number) = machine.kernel.with(|stack| stack.bind(port))?;
    Ok(SimListener { machine, port, number })
}

/// A bound port. Dropping it resets what nobody accepted.
pub struct SimListener {
    machine: Rc<Machine>,
    port: u16,
    number: u64,
}

impl SimListener {
    /// The port, also if any was asked for.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Listener for SimListener {
    type Stream = SimStream;

    async fn accept(&mut self) -> io::Result<(SimStream, String)> {
        poll_fn(|context| {
            let accepted =
                self.machine.kernel.with(|stack| stack.accept(self.port, self.number, context.waker())).transpose();
            match accepted {
                None => Poll::Pending,
                Some(Err(error)) => Poll::Ready(Err(error)),
                Some(Ok((id, peer))) => {
                    let stream = SimStream { machine: Rc::clone(&self.machine), id };
                    Poll::Ready(Ok((stream, format!("{}:{}", self.machine.world.name(peer), id.0))))
                }
            }
        })
        .await
    }
}

impl Drop for SimListener {
    fn drop(&mut self) {
        let now = self.machine.now();
        self.machine.kernel.with(|stack| stack.unbind(now, self.port, self.number));
    }
}
