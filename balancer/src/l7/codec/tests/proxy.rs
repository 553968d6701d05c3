//! A balancer's two sides at the level of bytes: the codec driven as its callers drive it, without
//! a socket. Input comes in pieces.

use std::time::UNIX_EPOCH;

use crate::l7::codec::{
    Advance, Asked, BodyDecoder, ChunkHead, Forwarding, HttpDate, InterimCap, LAST_CHUNK, Limits,
    Parse, Relay, RequestHead, ResponseHead, Returning, Version, parse_request, parse_response,
    rewrite_request, rewrite_response,
};

pub(super) const FORWARDING: Forwarding<'_> = Forwarding {
    client: "192.0.2.7",
    scheme: "http",
    http2: false,
    trusted: false,
    request_id: b"id-1",
    fallback_host: "10.0.0.1:3001",
    upgrade: false,
    path: None,
    host: None,
    trailers: false,
    changes: None,
    subject: None,
};

/// What the balancer has been told.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setting {
    pub(super) limits: Limits,
    pub(super) forwarding: Forwarding<'static>,
}

impl Default for Setting {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            forwarding: FORWARDING,
        }
    }
}

pub(super) fn date() -> HttpDate {
    HttpDate::at(UNIX_EPOCH)
}

/// What the balancer does with a client's bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    /// Each request as the server gets it.
    pub(super) forwarded: Vec<Vec<u8>>,
    /// The status of the balancer's own last answer.
    pub(super) refused: Option<u16>,
    /// How many it answered by itself without refusing.
    pub(super) answered_here: usize,
    /// Whether the connection lives on.
    pub(super) open: bool,
    /// Where each request that was read whole ends in the input.
    pub(super) ends: Vec<usize>,
}

/// Reads requests until the connection must close or the pieces end. A request counts as forwarded
/// once its whole body is good, since all of it is looked at before any of it is sent.
pub(super) fn serve<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
    serve_under(Setting::default(), pieces)
}

/// The same under another setting.
pub(super) fn serve_under<'a>(
    setting: Setting,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Outcome {
    let mut client = Client {
        setting,
        ..Client::default()
    };
    for piece in pieces {
        client.buf.extend_from_slice(piece);
        while client.outcome.open_or_new() && client.turn() {}
    }
    client.end();
    client.outcome
}

impl Outcome {
    fn open_or_new(&self) -> bool {
        self.refused.is_none() && (self.open || self.forwarded.is_empty())
    }
}

#[derive(Default)]
struct Client {
    setting: Setting,
    buf: Vec<u8>,
    /// Bytes of the input that are used up.
    used: usize,
    head: RequestHead,
    body: Option<(BodyDecoder, Vec<u8>)>,
    outcome: Outcome,
}

impl Client {
    /// Reads on; whether anything moved.
    fn turn(&mut self) -> bool {
        match self.body.take() {
            None => self.head(),
            Some((decoder, out)) => self.body(decoder, out),
        }
    }

    fn head(&mut self) -> bool {
        let Setting { limits, forwarding } = self.setting;
        match parse_request(&self.buf, &limits, &mut self.head) {
            Ok(Parse::Incomplete) => false,
            Ok(Parse::Complete { head_length }) => {
                let mut out = Vec::new();
                rewrite_request(&self.buf, &self.head, &forwarding, &mut out);
                self.use_up(head_length);
                let decoder = BodyDecoder::new(self.head.framing, self.head.carry, &limits);
                self.body = Some((decoder, out));
                true
            }
            Err(refusal) => {
                self.refuse(refusal.status());
                false
            }
        }
    }

    fn body(&mut self, mut decoder: BodyDecoder, mut out: Vec<u8>) -> bool {
        match decoder.advance(&self.buf) {
            Ok(Advance {
                consumed, relay, ..
            }) => {
                let done = decoder.is_done();
                out.extend_from_slice(&self.buf[relay]);
                self.use_up(consumed);
                if done {
                    self.finish(out);
                } else {
                    self.body = Some((decoder, out));
                }
                done || consumed > 0
            }
            Err(bad) => {
                self.refuse(bad.status());
                false
            }
        }
    }

    fn use_up(&mut self, length: usize) {
        self.buf.drain(..length);
        self.used += length;
    }

    fn finish(&mut self, out: Vec<u8>) {
        self.outcome.ends.push(self.used);
        if self.head.ends_here() {
            self.outcome.answered_here += 1;
        } else {
            self.outcome.forwarded.push(out);
        }
        self.outcome.open = self.head.keep_alive;
    }

    fn refuse(&mut self, status: u16) {
        self.outcome.refused = Some(status);
        self.outcome.open = false;
    }

    /// The client closed its side. An unfinished head is looked at once more, since parsing may
    /// have been put off until more of it is there.
    fn end(&mut self) {
        let Some((mut decoder, _)) = self.body.take() else {
            self.head.reset();
            if self.outcome.open_or_new() {
                self.head();
            }
            return;
        };
        if let Err(bad) = decoder.end_of_input() {
            self.refuse(bad.status());
        }
    }
}

/// What the client gets of a server's bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Reply {
    /// What is written to the client, interim heads included.
    pub(super) written: Vec<u8>,
    /// The server's head could not be passed on: the client gets 502.
    pub(super) bad_gateway: bool,
    /// The body broke off: the client's connection is reset.
    pub(super) truncated: bool,
    /// The server's connection may serve another request.
    pub(super) reusable: bool,
    /// The client's connection may.
    pub(super) keep_alive: bool,
}

/// Relays a server's bytes, which end with the last piece.
pub(super) fn relay<'a>(
    pieces: impl IntoIterator<Item = &'a [u8]>,
    asked: Asked,
    version: Version,
) -> Reply {
    let mut server = Server {
        asked,
        version,
        ..Server::default()
    };
    for piece in pieces {
        server.buf.extend_from_slice(piece);
        while !server.is_over() && server.turn() {}
    }
    server.end()
}

#[derive(Default)]
struct Server {
    asked: Asked,
    version: Version,
    buf: Vec<u8>,
    head: ResponseHead,
    interim: InterimCap,
    body: Option<(BodyDecoder, Relay)>,
    over: bool,
    reply: Reply,
}

impl Server {
    fn is_over(&self) -> bool {
        self.over || self.reply.bad_gateway || self.reply.truncated
    }

    fn turn(&mut self) -> bool {
        match self.body.take() {
            None => self.head(),
            Some((decoder, relay)) => self.body(decoder, relay),
        }
    }

    fn head(&mut self) -> bool {
        let parse = parse_response(
            &self.buf,
            self.asked,
            &Limits::for_responses(),
            &mut self.head,
        );
        match parse {
            Ok(Parse::Incomplete) => false,
            Ok(Parse::Complete { head_length }) => self.take_head(head_length),
            Err(_) => {
                self.reply.bad_gateway = true;
                false
            }
        }
    }

    fn take_head(&mut self, head_length: usize) -> bool {
        let is_interim = self.head.is_interim();
        if is_interim && self.interim.take().is_err() {
            self.reply.bad_gateway = true;
            return false;
        }
        let date = date();
        let returning = Returning {
            version: self.version,
            keep_alive: true,
            date: &date,
            request_id: b"id-1",
            changes: None,
        };
        let mut out = Vec::new();
        let returned = rewrite_response(&self.buf, &self.head, &returning, &mut out);
        self.buf.drain(..head_length);
        if !is_interim {
            self.reply.keep_alive = returned.keep_alive;
            let carry = returned.relay.carry();
            let decoder = BodyDecoder::new(self.head.framing, carry, &Limits::for_responses());
            self.over = decoder.is_done();
            self.body = Some((decoder, returned.relay));
        }
        if !is_interim || self.version == Version::Http11 {
            self.reply.written.extend_from_slice(&out);
        }
        true
    }

    fn body(&mut self, mut decoder: BodyDecoder, relay: Relay) -> bool {
        let Ok(step) = decoder.advance(&self.buf) else {
            self.reply.truncated = true;
            return false;
        };
        self.write(&step, relay);
        self.buf.drain(..step.consumed);
        self.over = decoder.is_done();
        if self.over {
            self.finish(relay);
        }
        self.body = Some((decoder, relay));
        step.consumed > 0
    }

    fn write(&mut self, step: &Advance, relay: Relay) {
        let data = &self.buf[step.relay.clone()];
        let written = &mut self.reply.written;
        if relay == Relay::Framed && !data.is_empty() {
            written.extend_from_slice(ChunkHead::of(data.len()).bytes());
            written.extend_from_slice(data);
            written.extend_from_slice(b"\r\n");
        } else {
            written.extend_from_slice(data);
        }
    }

    fn finish(&mut self, relay: Relay) {
        if relay == Relay::Framed {
            self.reply.written.extend_from_slice(LAST_CHUNK);
        }
    }

    /// The server closed its side.
    fn end(mut self) -> Reply {
        match self.body.take() {
            _ if self.is_over() => {}
            None => self.reply.bad_gateway = true,
            Some((mut decoder, relay)) => match decoder.end_of_input() {
                Ok(()) => self.finish(relay),
                Err(_) => self.reply.truncated = true,
            },
        }
        self.reply.reusable = self.over && self.head.keep_alive && self.buf.is_empty();
        self.reply.keep_alive &= !self.reply.truncated;
        self.reply
    }
}
