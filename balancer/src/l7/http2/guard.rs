//! What a client may ask of a connection without using it: frames that cost work and bring nothing are paid for from an account that
//! fills with time and with use, so that whoever works with the connection never runs out, and whoever only keeps it busy does soon.

use h2::Reason;

use super::frames::{END_HEADERS, END_STREAM, Frame, Kind, PADDED};
use crate::clock::Millis;

/// What a SETTINGS frame costs: it changes windows of every stream, and is answered.
const SETTINGS_COST: u32 = 10;

/// What DATA without content costs. Nobody has a use for it, and `h2` itself takes a hundred of them and no more.
const EMPTY_DATA_COST: u32 = 20;

/// What a request brings in once it is answered: with it come frames of its own. Until then it costs one, so that those which are never
/// served, because they are too many or malformed, are counted too.
const REQUEST_BRINGS: u32 = 6;

/// What a piece of content brings in, whoever sends it.
const DATA_BRINGS: u32 = 2;

/// What is sent brings in one more for each so many bytes.
const ANSWERED_EACH: usize = 1 << 10;

/// Content in a frame with padding that is shorter than this may be padding alone.
const PADDING_MAX: usize = 256;

/// Time in which an empty account fills, in milliseconds.
const FILLS_WITHIN: u64 = 10_000;

/// Frames of one field section, at most, beyond those that its bytes need.
const FRAMES_SPARE: usize = 8;

/// How many times as long as a request's head a field section may be and still be answered by this side's own 431.
pub(super) const ANSWERED_TIMES: usize = 2;

/// How many times as long it may be before nobody can have meant it, and the connection is ended.
const ENDED_TIMES: usize = 4;

/// How a connection is ended for what its client has too much of.
pub(super) const FLOOD_REASON: Reason = Reason::ENHANCE_YOUR_CALM;

/// The shortest frame length that clients may use at most.
const FRAME_MAX: usize = 16 << 10;

/// What a client has too much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flood {
    Settings,
    Ping,
    Priority,
    WindowUpdate,
    EmptyData,
    OtherFrames,
    Resets,
    Continuation,
    SectionTooLong,
    SlowSection,
    Requests,
}

/// An account that is drawn upon, and fills again.
#[derive(Debug)]
struct Account {
    level: u32,
    most: u32,
    filled_at: Millis,
}

/// What a client may have at most.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Frames that bring nothing, in a row.
    pub(super) control_frames: u32,
    /// Streams that it resets, in a row.
    pub(super) resets: u32,
    /// Bytes of a request's head.
    pub(super) head: usize,
}

/// Watches one connection's frames.
#[derive(Debug)]
pub(super) struct Guard {
    control: Account,
    resets: Account,
    section_max: usize,
    section_frames: usize,
    section_bytes: usize,
}

impl Flood {
    /// For the metrics.
    pub(super) fn token(self) -> &'static str {
        match self {
            Self::Settings => "http2-settings-flood",
            Self::Ping => "http2-ping-flood",
            Self::Priority => "http2-priority-flood",
            Self::WindowUpdate => "http2-window-update-flood",
            Self::EmptyData => "http2-empty-data-flood",
            Self::OtherFrames => "http2-frame-flood",
            Self::Resets => "http2-reset-flood",
            Self::Continuation => "http2-continuation-flood",
            Self::SectionTooLong => "http2-head-too-long",
            Self::SlowSection => "http2-head-timeout",
            Self::Requests => "http2-request-flood",
        }
    }
}

impl Account {
    fn new(most: u32, now: Millis) -> Self {
        Self {
            level: most,
            most,
            filled_at: now,
        }
    }

    /// Whether there is enough for it.
    fn spend(&mut self, cost: u32, now: Millis) -> bool {
        let gained = now.0.saturating_sub(self.filled_at.0) * u64::from(self.most) / FILLS_WITHIN;
        if gained > 0 {
            self.earn(u32::try_from(gained).unwrap_or(u32::MAX));
            self.filled_at = now;
        }
        match self.level.checked_sub(cost) {
            Some(level) => {
                self.level = level;
                true
            }
            None => false,
        }
    }

    fn earn(&mut self, gained: u32) {
        self.level = self.level.saturating_add(gained).min(self.most);
    }
}

impl Guard {
    pub(super) fn new(bounds: Bounds, now: Millis) -> Self {
        Self {
            control: Account::new(bounds.control_frames, now),
            resets: Account::new(bounds.resets, now),
            section_max: bounds.head * ENDED_TIMES,
            section_frames: 0,
            section_bytes: 0,
        }
    }

    /// Looks at a frame that a client has sent.
    pub(super) fn meet(&mut self, frame: Frame, now: Millis) -> Result<(), Flood> {
        let (cost, flood) = match frame.kind {
            Kind::Headers | Kind::Continuation => return self.meet_section(frame, now),
            Kind::Data if is_content(frame) => {
                self.control.earn(DATA_BRINGS);
                return Ok(());
            }
            Kind::Data => (EMPTY_DATA_COST, Flood::EmptyData),
            Kind::Reset if self.resets.spend(1, now) => (0, Flood::Resets),
            Kind::Reset => return Err(Flood::Resets),
            Kind::Settings => (SETTINGS_COST, Flood::Settings),
            Kind::Ping => (1, Flood::Ping),
            Kind::Priority => (1, Flood::Priority),
            Kind::WindowUpdate => (1, Flood::WindowUpdate),
            Kind::Other => (1, Flood::OtherFrames),
        };
        if self.control.spend(cost, now) {
            Ok(())
        } else {
            Err(flood)
        }
    }

    fn meet_section(&mut self, frame: Frame, now: Millis) -> Result<(), Flood> {
        if frame.kind == Kind::Headers {
            self.section_frames = 0;
            self.section_bytes = 0;
            if !self.control.spend(1, now) {
                return Err(Flood::Requests);
            }
        }
        self.section_frames += 1;
        self.section_bytes += frame.length;
        let frames_max = self.section_max / FRAME_MAX + FRAMES_SPARE;
        if self.section_frames > frames_max && !frame.has(END_HEADERS) {
            return Err(Flood::Continuation);
        }
        if self.section_bytes > self.section_max {
            return Err(match frame.kind {
                Kind::Continuation => Flood::Continuation,
                _ => Flood::SectionTooLong,
            });
        }
        Ok(())
    }

    /// So many bytes of content were sent, which the client may answer by frames: some do it for every few of them.
    pub(super) fn sent(&mut self, length: usize) {
        let by_length = u32::try_from(length / ANSWERED_EACH).unwrap_or(u32::MAX);
        self.control.earn(by_length.saturating_add(DATA_BRINGS));
    }

    /// A request was answered to its end.
    pub(super) fn answered(&mut self) {
        self.resets.earn(1);
        self.control.earn(REQUEST_BRINGS);
    }
}

/// Whether a DATA frame brings something: content, or the end.
fn is_content(frame: Frame) -> bool {
    let may_be_padding = frame.has(PADDED) && frame.length <= PADDING_MAX;
    frame.has(END_STREAM) || (frame.length > 0 && !may_be_padding)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = Millis(1_000);

    fn guard() -> Guard {
        let bounds = Bounds {
            control_frames: 100,
            resets: 20,
            head: 32 << 10,
        };
        Guard::new(bounds, NOW)
    }

    fn frame(kind: Kind, flags: u8, length: usize) -> Frame {
        Frame {
            kind,
            flags,
            length,
        }
    }

    /// How many of these frames are taken in a row.
    fn taken(guard: &mut Guard, one: Frame) -> usize {
        let most = 100_000;
        (0..most)
            .find(|_| guard.meet(one, NOW).is_err())
            .unwrap_or(most)
    }

    #[test]
    fn frames_that_bring_nothing_are_counted_whatever_they_are() {
        for (kind, flags, length, count, flood) in [
            (Kind::Settings, 0, 6, 10, Flood::Settings),
            (Kind::Settings, 1, 0, 10, Flood::Settings),
            (Kind::Ping, 0, 8, 100, Flood::Ping),
            (Kind::Priority, 0, 5, 100, Flood::Priority),
            (Kind::WindowUpdate, 0, 4, 100, Flood::WindowUpdate),
            (Kind::Data, 0, 0, 5, Flood::EmptyData),
            (Kind::Data, PADDED, 256, 5, Flood::EmptyData),
            (Kind::Other, 0, 1 << 14, 100, Flood::OtherFrames),
            (Kind::Reset, 0, 4, 20, Flood::Resets),
        ] {
            let mut guard = guard();
            let one = frame(kind, flags, length);
            assert_eq!(taken(&mut guard, one), count, "{kind:?}");
            assert_eq!(guard.meet(one, NOW), Err(flood), "{kind:?}");
        }
    }

    #[test]
    fn an_account_fills_with_time_and_with_use() {
        let mut guard = guard();
        let ping = frame(Kind::Ping, 0, 8);
        assert_eq!(taken(&mut guard, ping), 100);
        assert!(guard.meet(ping, Millis(1_090)).is_err());
        assert!(guard.meet(ping, Millis(1_100)).is_ok());
        guard.sent(3000);
        assert_eq!(taken(&mut guard, ping), 4);
        for _ in 0..1_000 {
            let content = frame(Kind::Data, 0, 1);
            assert_eq!(guard.meet(content, NOW), Ok(()));
        }
        assert_eq!(taken(&mut guard, ping), 100);
        let reset = frame(Kind::Reset, 0, 4);
        assert_eq!(taken(&mut guard, reset), 20);
        guard.answered();
        assert_eq!(taken(&mut guard, reset), 1);
    }

    #[test]
    fn content_and_ends_are_never_too_many() {
        let mut guard = guard();
        for (flags, length) in [(0, 1), (END_STREAM, 0), (PADDED, 257), (0, 1 << 14)] {
            let one = frame(Kind::Data, flags, length);
            assert_eq!(taken(&mut guard, one), 100_000, "{flags} {length}");
        }
    }

    #[test]
    fn requests_that_are_never_answered_are_too_many_and_others_are_not() {
        let mut guard = guard();
        let request = frame(Kind::Headers, END_HEADERS, 100);
        assert_eq!(taken(&mut guard, request), 100);
        assert_eq!(guard.meet(request, NOW), Err(Flood::Requests));
        for _ in 0..1_000 {
            guard.answered();
            assert_eq!(guard.meet(request, NOW), Ok(()));
        }
    }

    #[test]
    fn a_field_section_has_bounds_in_frames_and_bytes() {
        let mut one = guard();
        assert!(one.meet(frame(Kind::Headers, 0, 10), NOW).is_ok());
        let short = frame(Kind::Continuation, 0, 1);
        assert_eq!(taken(&mut one, short), 15);
        assert_eq!(one.meet(short, NOW), Err(Flood::Continuation));
        let mut one = guard();
        assert!(one.meet(frame(Kind::Headers, 0, 1 << 14), NOW).is_ok());
        let long = frame(Kind::Continuation, 0, 1 << 14);
        assert_eq!(taken(&mut one, long), 7);
        assert_eq!(one.meet(long, NOW), Err(Flood::Continuation));
        let whole = frame(Kind::Headers, END_HEADERS, 1 << 18);
        assert_eq!(guard().meet(whole, NOW), Err(Flood::SectionTooLong));
    }
}
