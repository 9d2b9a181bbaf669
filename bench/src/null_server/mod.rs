//! A gRPC server that costs next to nothing: fixed answers, hand-written HTTP/2, one thread a connection.
//!
//! Put and Range get fixed messages, Status and the health check get what a client needs in order to
//! trust the connection, [`streams`] has watches and renewals of leases, and everything else is unimplemented. Under load the server reads frames,
//! compares a header block with the last one, and copies a prepared answer: see [`connection`], which
//! holds the protocol and no socket. [`hpack`] reads just enough of a header block to know its path,
//! [`answer`] holds the bytes that go out. It takes shortcuts that no server may take (it checks neither
//! stream states nor header lists), so it is of use to a benchmark only.

pub mod answer;
pub mod connection;
pub mod hpack;
pub mod streams;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use answer::Answers;
use connection::Connection;

use crate::{Error, report};

/// Bytes read at once; the largest frame that we allow is 16 KiB.
const READ_BUFFER: usize = 256 * 1024;
/// Events written at once.
const CHUNK: usize = 64 * 1024;

/// Serves every connection that comes in, for as long as the listener lives.
///
/// # Errors
/// Accepting failed.
pub fn serve(listener: &TcpListener, value_size: usize) -> Result<(), Error> {
    let answers = Arc::new(Answers::new(value_size));
    loop {
        let (socket, peer) = listener.accept()?;
        let answers = Arc::clone(&answers);
        // The thread ends with its connection, and all of them end with the process.
        std::thread::Builder::new().name(format!("null {peer}")).spawn(move || {
            if let Err(error) = serve_connection(socket, &answers) {
                report::note(&format!("null server: connection of {peer}: {error}"));
            }
        })?;
    }
}

fn serve_connection(mut socket: TcpStream, answers: &Answers) -> Result<(), Error> {
    socket.set_nodelay(true)?;
    let mut connection = Connection::new(answers);
    let mut buffer = vec![0; READ_BUFFER];
    let mut filled = 0;
    loop {
        // With events left to send, it is only looked whether the peer has said something.
        let busy = connection.publish(CHUNK);
        if !connection.output().is_empty() {
            match socket.write_all(connection.output()) {
                Ok(()) => connection.output().clear(),
                Err(error)
                    if matches!(
                        error.kind(),
                        std::io::ErrorKind::BrokenPipe | std::io::ErrorKind::ConnectionReset
                    ) =>
                {
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            }
        }
        if connection.is_closed() {
            return Ok(());
        }
        if busy && !is_readable(&socket)? {
            continue;
        }
        let Some(free) = buffer.get_mut(filled..).filter(|free| !free.is_empty()) else {
            return Err("a frame is larger than the buffer".into());
        };
        let read = match socket.read(free) {
            Ok(read) => read,
            // How clients that exit leave: nothing to tell.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        if read == 0 {
            return Ok(());
        }
        filled += read;
        let consumed = connection.receive(&buffer[..filled])?;
        buffer.copy_within(consumed..filled, 0);
        filled -= consumed;
    }
}

/// Whether reading would not wait.
fn is_readable(socket: &TcpStream) -> Result<bool, Error> {
    let mut asked = [PollFd::new(socket, PollFlags::IN)];
    Ok(poll(&mut asked, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))? > 0)
}
