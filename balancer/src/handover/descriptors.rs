//! Passes descriptors over a Unix socket (`SCM_RIGHTS`): each batch with one byte, since they come with a byte and never alone.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use tokio::io::Interest;
use tokio::net::UnixStream;

/// Descriptors with one byte; the kernel passes at most 253 at once.
const BATCH: usize = 64;

const SPACE: usize = rustix::cmsg_space!(ScmRights(BATCH));

pub(super) async fn send(stream: &UnixStream, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    for batch in descriptors.chunks(BATCH) {
        let sent = stream.async_io(Interest::WRITABLE, || send_batch(stream, batch));
        sent.await?;
    }
    Ok(())
}

fn send_batch(stream: &UnixStream, batch: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); SPACE];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fits = control.push(SendAncillaryMessage::ScmRights(batch));
    assert!(fits, "there is space for a batch");
    sendmsg(
        stream,
        &[IoSlice::new(b".")],
        &mut control,
        SendFlags::NOSIGNAL,
    )?;
    Ok(())
}

/// So many descriptors, which programs that this process starts do not get.
pub(super) async fn receive(stream: &UnixStream, count: usize) -> io::Result<Vec<OwnedFd>> {
    let mut received = Vec::new();
    while received.len() < count {
        let batch = stream.async_io(Interest::READABLE, || receive_batch(stream));
        let batch = batch.await?;
        if batch.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        received.extend(batch);
    }
    Ok(received)
}

fn receive_batch(stream: &UnixStream) -> io::Result<Vec<OwnedFd>> {
    let mut space = [MaybeUninit::uninit(); SPACE];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let flags = RecvFlags::CMSG_CLOEXEC;
    let got = recvmsg(
        stream,
        &mut [IoSliceMut::new(&mut byte)],
        &mut control,
        flags,
    )?;
    let mut descriptors = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            descriptors.extend(rights);
        }
    }
    // As the kernel says it where this process may not have so many files open.
    if got.flags.contains(ReturnFlags::CTRUNC) {
        return Err(io::Error::other(
            "the limit of open files is too low for its sockets",
        ));
    }
    Ok(descriptors)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    #[tokio::test]
    async fn more_descriptors_than_a_batch_come_over_in_their_order() {
        let (from, to) = UnixStream::pair().unwrap();
        let listeners: Vec<_> = (0..BATCH + 6)
            .map(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap())
            .collect();
        let borrowed: Vec<_> = listeners.iter().map(AsFd::as_fd).collect();
        let (sent, received) = tokio::join!(send(&from, &borrowed), receive(&to, borrowed.len()));
        sent.unwrap();
        let received = received.unwrap();
        assert_eq!(received.len(), listeners.len());
        for (received, sent) in received.into_iter().zip(&listeners) {
            let received = std::net::TcpListener::from(received);
            assert_eq!(received.local_addr().unwrap(), sent.local_addr().unwrap());
        }
    }

    #[tokio::test]
    async fn a_sender_that_ends_early_is_an_error() {
        let (from, to) = UnixStream::pair().unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        send(&from, &[listener.as_fd()]).await.unwrap();
        drop(from);
        let error = receive(&to, 2).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
