//! What a connection and its streams know of each other.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use super::arrivals::Arrivals;
use super::backlog::Backlog;
use super::frames::Scanner;
use super::guard::{Bounds, Flood, Guard};
use crate::clock::Millis;
use crate::l7::talk::Talk;

/// Bytes that are read of one client in one turn.
const READ_MAX: usize = 64 << 10;

/// One client's connection.
pub(super) struct Shared {
    pub(super) talk: Talk,
    /// Streams that nobody serves yet.
    pub(super) arrivals: Arrivals,
    /// What of the answers waits for the client.
    pub(super) backlog: Backlog,
    watch: RefCell<(Scanner, Guard)>,
    /// What the connection is to be ended for.
    flood: Cell<Option<Flood>>,
    /// Nothing is read any more.
    pub(super) deaf: Cell<bool>,
    /// How much may still be read in this turn.
    turn: Cell<usize>,
    /// Streams under way.
    open: Cell<usize>,
    /// Since when there is none.
    quiet_since: Cell<Millis>,
    /// How long the connection waits for the next one.
    patience: Cell<Duration>,
    /// When the field section that has begun must have come.
    section_by: Cell<Millis>,
    /// When the client must have taken something of what waits for it.
    stalled_by: Cell<Millis>,
    /// When all is over.
    pub(super) over_by: Cell<Millis>,
}

/// One stream under way.
pub(super) struct Open(Rc<Shared>);

impl Shared {
    pub(super) fn new(talk: Talk) -> Self {
        let settings = &talk.worker.settings;
        let now = talk.worker.clock.now();
        let bounds = Bounds {
            // Requests under way are not answered yet.
            control_frames: (2 * settings.http2.streams_max)
                .saturating_add(settings.http2.control_frames_max),
            resets: settings.http2.resets_max,
            head: settings.request_limits.head(),
        };
        Self {
            arrivals: Arrivals::default(),
            backlog: Backlog::default(),
            watch: RefCell::new((Scanner::new(), Guard::new(bounds, now))),
            flood: Cell::new(None),
            deaf: Cell::new(false),
            turn: Cell::new(READ_MAX),
            open: Cell::new(0),
            quiet_since: Cell::new(now),
            patience: Cell::new(settings.keep_alive_for),
            section_by: Cell::new(now.after(settings.head_within)),
            stalled_by: Cell::new(Millis::NEVER),
            over_by: Cell::new(Millis::NEVER),
            talk,
        }
    }

    fn now(&self) -> Millis {
        self.talk.worker.clock.now()
    }

    /// Looks at bytes that have come, and says how many may pass; none where they are too much, for which the connection is to be ended.
    pub(super) fn look(&self, bytes: &mut [u8]) -> Option<usize> {
        let (scanner, guard) = &mut *self.watch.borrow_mut();
        let now = self.now();
        let mut met = Ok(());
        let passing = scanner.scan(bytes, |frame| {
            if met.is_ok() {
                met = guard.meet(frame, now);
            }
        });
        if !scanner.is_in_section() {
            self.section_by.set(Millis::NEVER);
        } else if self.section_by.get() == Millis::NEVER {
            let within = self.talk.worker.settings.head_within;
            self.section_by.set(now.after(within));
        }
        if let Err(flood) = met {
            self.condemn(flood);
            return None;
        }
        Some(passing)
    }

    /// Whether more may be read in this turn: a client that sends much is not to keep others waiting, and what it has begun is to be looked
    /// at before more of it is begun.
    pub(super) fn may_read(&self) -> bool {
        self.turn.get() > 0
    }

    /// So much was read.
    pub(super) fn note_read(&self, count: usize) {
        self.turn.set(self.turn.get().saturating_sub(count));
    }

    /// A turn begins.
    pub(super) fn begin_turn(&self) {
        self.turn.set(READ_MAX);
    }

    /// The connection is to be ended.
    pub(super) fn condemn(&self, flood: Flood) {
        self.flood.set(Some(flood));
        self.deaf.set(true);
    }

    /// What the connection is to be ended for, said once.
    pub(super) fn take_flood(&self) -> Option<Flood> {
        self.flood.take()
    }

    /// The client takes nothing, or takes something again.
    pub(super) fn note_stalled(&self, stalled: bool) {
        if !stalled {
            self.stalled_by.set(Millis::NEVER);
        } else if self.stalled_by.get() == Millis::NEVER {
            let within = self.talk.worker.settings.body_within;
            self.stalled_by.set(self.talk.after(within));
        }
    }

    /// So many bytes of content were sent, which the client may answer by frames.
    pub(super) fn note_sent(&self, length: usize) {
        self.watch.borrow_mut().1.sent(length);
    }

    /// Whether the client takes nothing off its connection.
    pub(super) fn is_stalling(&self) -> bool {
        self.stalled_by.get() != Millis::NEVER
    }

    /// A request was answered to its end.
    pub(super) fn note_answered(&self) {
        self.watch.borrow_mut().1.answered();
    }

    /// A stream begins.
    pub(super) fn open(self: &Rc<Self>) -> Open {
        self.open.set(self.open.get() + 1);
        Open(Rc::clone(self))
    }

    /// From now on the connection waits for the next stream for so long.
    pub(super) fn set_patience(&self, patience: Duration) {
        self.patience.set(patience);
        self.quiet_since.set(self.now());
    }

    fn is_quiet(&self) -> bool {
        self.open.get() == 0
    }

    fn idle_by(&self) -> Millis {
        if self.is_quiet() {
            self.quiet_since.get().after(self.patience.get())
        } else {
            Millis::NEVER
        }
    }

    /// Until when nothing needs to be looked at.
    pub(super) fn due(&self) -> Millis {
        let ends_by = self.stalled_by.get().min(self.over_by.get());
        if self.deaf.get() {
            return ends_by;
        }
        ends_by.min(self.section_by.get()).min(self.idle_by())
    }

    pub(super) fn is_over(&self) -> bool {
        self.now() >= self.over_by.get()
    }

    pub(super) fn is_section_late(&self) -> bool {
        self.now() >= self.section_by.get()
    }

    pub(super) fn is_stalled(&self) -> bool {
        self.now() >= self.stalled_by.get()
    }

    pub(super) fn is_idle_for_long(&self) -> bool {
        self.now() >= self.idle_by()
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let Self(shared) = self;
        shared.open.set(shared.open.get() - 1);
        shared.backlog.let_go_on();
        if shared.is_quiet() && !shared.deaf.get() {
            shared.quiet_since.set(shared.now());
            shared.talk.timer.set(shared.due());
        }
    }
}
