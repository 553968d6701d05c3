//! All connections of a load, driven by one thread.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::Instant;

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use super::response::{Progress, Reader};
use super::schedule::{Pace, Schedule};
use super::stream::{Stream, Streams};
use super::timer::Timer;
use super::{Meter, Plan};
use crate::Error;
use crate::waiting::would_block;

/// Events taken from the kernel at once.
const EVENTS: usize = 1024;

const TIMER: Token = Token(usize::MAX);

/// The load's state.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) meter: Meter,
    poll: Poll,
    timer: Timer,
    schedule: Schedule,
    connections: Vec<Connection>,
    /// Those that wait for a request to fall due.
    free: Vec<usize>,
    exchange: Exchange,
}

/// What every connection does.
#[derive(Debug)]
struct Exchange {
    address: SocketAddr,
    streams: Streams,
    /// What is asked for by turns.
    requests: Vec<Vec<u8>>,
    /// Whose turn it is.
    next: usize,
    /// Whether each request has a connection of its own.
    close: bool,
    buffer: Vec<u8>,
}

#[derive(Debug)]
struct Connection {
    stream: Stream,
    reader: Reader,
    /// When the request that is under way was due.
    due: Option<Instant>,
    /// Which one it is.
    asked: usize,
    /// Bytes of it that were written.
    sent: usize,
}

/// How a turn of a connection ended.
enum Turn {
    Waiting,
    Answered(u16),
    Broken,
}

impl Client {
    /// Connects, without sending anything yet.
    pub(super) fn connect(plan: &Plan) -> Result<Self, Error> {
        let poll = Poll::new()?;
        let timer = Timer::new(poll.registry(), TIMER)?;
        let streams = Streams::new(plan)?;
        let mut connections = Vec::new();
        for index in 0..plan.connections {
            let stream = std::net::TcpStream::connect(plan.address)?;
            stream.set_nonblocking(true)?;
            let stream = streams.stream(TcpStream::from_std(stream))?;
            let mut connection = Connection::new(stream);
            connection.register(&poll, index)?;
            connections.push(connection);
        }
        let schedule = plan.rate.map_or(Schedule::Closed, |rate| {
            Schedule::Open(Pace::new(Instant::now(), rate))
        });
        Ok(Self {
            meter: Meter::new(),
            poll,
            timer,
            schedule,
            free: (0..connections.len()).rev().collect(),
            connections,
            exchange: Exchange {
                address: plan.address,
                streams,
                requests: plan.request.texts(plan.address),
                next: 0,
                close: plan.request.close,
                buffer: vec![0; 256 * 1024],
            },
        })
    }

    /// Goes on until then.
    pub(super) fn run_until(&mut self, end: Instant) -> Result<(), Error> {
        let mut events = Events::with_capacity(EVENTS);
        loop {
            let now = Instant::now();
            if now >= end {
                return Ok(());
            }
            self.send_what_is_due(now)?;
            self.timer
                .set(self.wake_at(end).saturating_duration_since(now))?;
            self.poll.poll(&mut events, None)?;
            for event in &events {
                if event.token() != TIMER {
                    self.turn(event.token().0, event.is_read_closed())?;
                }
            }
        }
    }

    /// Charges what fell due and was never sent.
    pub(super) fn count_overdue(&mut self, now: Instant) {
        for overdue in self.schedule.overdue(now) {
            self.meter.unsent(overdue);
        }
    }

    /// When something is to be done even if nothing comes.
    fn wake_at(&self, end: Instant) -> Instant {
        match &self.schedule {
            Schedule::Open(pace) if !self.free.is_empty() => pace.next_due().min(end),
            _ => end,
        }
    }

    fn send_what_is_due(&mut self, now: Instant) -> Result<(), Error> {
        while let Some(index) = self.free.pop() {
            let Some(due) = self.schedule.take(now) else {
                self.free.push(index);
                break;
            };
            let connection = &mut self.connections[index];
            connection.due = Some(due);
            connection.asked = self.exchange.next_request();
            connection.sent = 0;
            if connection.send(&self.exchange.requests).is_err() {
                self.fail(index)?;
            }
        }
        Ok(())
    }

    fn turn(&mut self, index: usize, closing: bool) -> Result<(), Error> {
        let connection = &mut self.connections[index];
        match connection.turn(closing, &mut self.exchange) {
            Turn::Waiting => Ok(()),
            Turn::Answered(status) => self.answered(index, status),
            // An idle connection may be closed at any time.
            Turn::Broken if connection.due.is_none() => self.reconnect(index),
            Turn::Broken => self.fail(index),
        }
    }

    fn answered(&mut self, index: usize, status: u16) -> Result<(), Error> {
        let now = Instant::now();
        let connection = &mut self.connections[index];
        let is_over = self.exchange.close || connection.reader.closes();
        match connection.due.take() {
            Some(due) if status == 200 => {
                let is_resumed = connection.stream.is_resumed();
                self.meter.succeeded(now - due, is_resumed);
            }
            _ => self.meter.failed(),
        }
        self.free.push(index);
        if is_over {
            self.reconnect(index)?;
        }
        self.send_what_is_due(now)
    }

    fn fail(&mut self, index: usize) -> Result<(), Error> {
        self.meter.failed();
        self.free.push(index);
        self.reconnect(index)
    }

    /// In place of a connection that is over.
    fn reconnect(&mut self, index: usize) -> Result<(), Error> {
        let socket = TcpStream::connect(self.exchange.address)?;
        let stream = self.exchange.streams.stream(socket)?;
        let mut connection = Connection::new(stream);
        connection.register(&self.poll, index)?;
        self.connections[index] = connection;
        Ok(())
    }
}

impl Exchange {
    /// Which request is the next one.
    fn next_request(&mut self) -> usize {
        let request = self.next;
        self.next = (request + 1) % self.requests.len();
        request
    }
}

impl Connection {
    fn new(stream: Stream) -> Self {
        Self {
            stream,
            reader: Reader::default(),
            due: None,
            asked: 0,
            sent: 0,
        }
    }

    fn register(&mut self, poll: &Poll, index: usize) -> io::Result<()> {
        let socket = self.stream.socket();
        socket.set_nodelay(true)?;
        let interest = Interest::READABLE | Interest::WRITABLE;
        poll.registry().register(socket, Token(index), interest)
    }

    /// Writes what the stream takes of the request that is under way.
    fn send(&mut self, requests: &[Vec<u8>]) -> io::Result<()> {
        let request = &requests[self.asked];
        while self.due.is_some() && self.sent < request.len() {
            match self.stream.write(&request[self.sent..]) {
                Ok(written) => self.sent += written,
                Err(error) if would_block(&error) => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn turn(&mut self, closing: bool, exchange: &mut Exchange) -> Turn {
        // A server may answer and close before it has taken the whole request: the answer counts.
        let sent = self.send(&exchange.requests);
        let reads_on = closing || self.stream.reads_in_parts();
        loop {
            match self.stream.read(&mut exchange.buffer) {
                Ok(0) => return Turn::Broken,
                Ok(read) => match self.reader.take(&exchange.buffer[..read]) {
                    Progress::Complete(status) => return Turn::Answered(status),
                    Progress::Nonsense => return Turn::Broken,
                    Progress::Partial if read == exchange.buffer.len() || reads_on => {}
                    Progress::Partial => return Turn::Waiting,
                },
                Err(error) if would_block(&error) && sent.is_ok() => return Turn::Waiting,
                Err(_) => return Turn::Broken,
            }
        }
    }
}
