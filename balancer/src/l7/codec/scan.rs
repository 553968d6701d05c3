//! How far an unfinished head has been read, so that a head that arrives byte by byte is not parsed
//! from its start for each of them.

/// Progress over one unfinished head.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Scan {
    /// Bytes that have been searched for the end of the head.
    searched: usize,
    /// Bytes that the last parse was given.
    parsed: usize,
}

impl Scan {
    /// Whether parsing `buf` can tell anything new: it is the first try, the head has ended, the
    /// limit is reached, or twice as much is there as the last time (which bounds the whole work
    /// by a constant factor, and still finds nonsense early).
    pub(super) fn is_worth_parsing(&mut self, buf: &[u8], limit: usize) -> bool {
        let worth = buf.len() >= self.parsed * 2 || buf.len() >= limit || self.sees_end(buf);
        self.searched = buf.len();
        if worth {
            self.parsed = buf.len();
        }
        worth && !buf.is_empty()
    }

    /// Whether an empty line is in what came since the last look. A bare LF counts, so that it is
    /// refused at once rather than waited on.
    fn sees_end(&self, buf: &[u8]) -> bool {
        let tail = &buf[self.searched.saturating_sub(2).min(buf.len())..];
        memchr::memchr_iter(b'\n', tail)
            .any(|at| matches!(&tail[at + 1..], [b'\n', ..] | [b'\r', b'\n', ..]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_in_single_bytes_is_parsed_a_logarithmic_number_of_times() {
        let head = [b"GET / HTTP/1.1\r\nX: ", &[b'a'; 20_000][..], b"\r\n\r\n"].concat();
        let mut scan = Scan::default();
        let tries = (1..=head.len())
            .filter(|length| scan.is_worth_parsing(&head[..*length], 1 << 15))
            .count();
        assert!(tries <= 18, "{tries} parses");
    }

    #[test]
    fn the_end_of_a_head_is_seen_across_any_two_pieces() {
        let head = b"GET / HTTP/1.1\r\nHost: a\r\nX: yyyyy\r\n\r\n";
        for split in head.len() / 2 + 1..head.len() {
            let mut scan = Scan::default();
            scan.is_worth_parsing(&head[..split], 1 << 15);
            assert!(scan.is_worth_parsing(head, 1 << 15), "split at {split}");
        }
    }
}
