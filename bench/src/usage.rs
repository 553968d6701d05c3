//! What a process has used, as the kernel counts it: processor time of all its threads, and memory.
//!
//! Processor time comes from each thread's `schedstat`, in nanoseconds; `stat` counts in ticks of 10 ms, which
//! is too coarse for a short run, but tells user time from system time.

use std::fs;
use std::io;
use std::path::Path;

/// Processor time since the process began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Cpu {
    /// User and system time of all threads that live, in nanoseconds.
    pub(crate) total_ns: u64,
    /// User time in ticks of the kernel's clock.
    pub(crate) user_ticks: u64,
    /// System time in the same ticks.
    pub(crate) system_ticks: u64,
}

/// Memory of a process, in KiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Memory {
    /// What is resident now.
    pub(crate) resident: u64,
    /// The most that ever was.
    pub(crate) peak: u64,
}

impl Cpu {
    /// Fails where there is no such process.
    pub(crate) fn of(pid: u32) -> io::Result<Self> {
        let folder = format!("/proc/{pid}");
        let mut total_ns = 0;
        for task in fs::read_dir(Path::new(&folder).join("task"))? {
            // A thread may end between the listing and the reading.
            let text = fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
            total_ns += parse_schedstat(&text).unwrap_or(0);
        }
        let stat = fs::read_to_string(Path::new(&folder).join("stat"))?;
        let (user_ticks, system_ticks) = parse_stat(&stat).ok_or(io::ErrorKind::InvalidData)?;
        Ok(Self {
            total_ns,
            user_ticks,
            system_ticks,
        })
    }

    /// What was used since an earlier look.
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            total_ns: self.total_ns.saturating_sub(earlier.total_ns),
            user_ticks: self.user_ticks.saturating_sub(earlier.user_ticks),
            system_ticks: self.system_ticks.saturating_sub(earlier.system_ticks),
        }
    }

    /// The share of user time, 0 to 1.
    pub(crate) fn user_share(self) -> f64 {
        let all = self.user_ticks + self.system_ticks;
        self.user_ticks as f64 / all.max(1) as f64
    }
}

impl Memory {
    /// Fails where there is no such process.
    pub(crate) fn of(pid: u32) -> io::Result<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        parse_status(&status).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }
}

/// The first number: nanoseconds on a processor.
fn parse_schedstat(text: &str) -> Option<u64> {
    text.split_ascii_whitespace().next()?.parse().ok()
}

/// User and system ticks: the 14th and 15th field. The second is a name in parentheses that may hold anything.
fn parse_stat(text: &str) -> Option<(u64, u64)> {
    let after_name = &text[text.rfind(')')? + 1..];
    let mut fields = after_name.split_ascii_whitespace().skip(11);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

fn parse_status(text: &str) -> Option<Memory> {
    let kib = |name: &str| -> Option<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_ascii_whitespace().next()?.parse().ok()
    };
    Some(Memory {
        resident: kib("VmRSS:")?,
        peak: kib("VmHWM:")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_spaces_and_parentheses_shifts_no_field() {
        let text = "42 (a b) c) S 1 42 42 0 -1 4194560 9 0 0 0 123 456 0 0 20 0 1 0 5 6 7";
        assert_eq!(parse_stat(text), Some((123, 456)));
    }

    #[test]
    fn what_is_cut_short_is_no_number() {
        assert_eq!(parse_stat("42 (a) S 1 42"), None);
        assert_eq!(parse_schedstat(""), None);
        assert_eq!(parse_status("VmRSS:\t 12 kB\n"), None);
    }

    #[test]
    fn memory_is_read_by_name() {
        let text = "VmPeak:\t  900 kB\nVmHWM:\t  345 kB\nVmRSS:\t  123 kB\nRssAnon:\t 1 kB\n";
        let memory = Memory {
            resident: 123,
            peak: 345,
        };
        assert_eq!(parse_status(text), Some(memory));
    }

    #[test]
    fn the_time_on_a_processor_is_the_first_number() {
        assert_eq!(parse_schedstat("1234567 89 10\n"), Some(1_234_567));
    }

    #[test]
    fn this_process_uses_processor_time_and_memory() {
        let pid = std::process::id();
        let before = Cpu::of(pid).expect("this process exists");
        while Cpu::of(pid).expect("it still does").total_ns == before.total_ns {}
        let memory = Memory::of(pid).expect("this process exists");
        assert!(memory.resident > 0 && memory.peak >= memory.resident);
    }

    #[test]
    fn the_share_of_user_time_is_of_both() {
        let cpu = Cpu {
            total_ns: 0,
            user_ticks: 1,
            system_ticks: 3,
        };
        assert!((cpu.user_share() - 0.25).abs() < 1e-9);
        assert!(Cpu::default().user_share().abs() < 1e-9);
    }
}
