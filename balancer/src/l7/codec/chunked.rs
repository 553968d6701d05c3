//! The chunked coding, read strictly: nothing but hex digits for a size, CRLF at every end, bounded
//! extensions (dropped) and trailers (judged line by line).

use std::ops::Range;

use super::body::Carry;
use super::limits::FIELDS_MAX;
use super::name::is_value_byte;
use super::refusal::BadBody;
use super::trailer::{self, Trailer};

/// Digits of a chunk's size.
const DIGITS_MAX: u8 = 16;

/// Bytes of one chunk's extensions.
const EXTENSION_MAX: usize = 256;

/// Where in the coding the next byte stands.
#[derive(Clone, Copy, Debug)]
enum Stage {
    Size { size: u64, digits: u8 },
    Extension { size: u64, length: usize },
    SizeLineFeed { size: u64 },
    Data { left: u64 },
    DataReturn,
    DataLineFeed,
    Trailers { length: usize, lines: usize },
    Done,
}

/// What a run of bytes is to the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// Size lines and line ends.
    Wire,
    /// Trailer fields that are fit to be passed on.
    Trailer,
    Content,
    Dropped,
}

/// A chunked body, followed over any pieces of input.
#[derive(Clone, Debug)]
pub(super) struct Chunked {
    stage: Stage,
    /// Bytes of content that may still come.
    allowed: u64,
}

impl Chunked {
    pub(super) fn new(allowed: u64) -> Self {
        Self {
            stage: Stage::Size { size: 0, digits: 0 },
            allowed,
        }
    }

    pub(super) fn is_done(&self) -> bool {
        matches!(self.stage, Stage::Done)
    }

    /// Whether the last chunk has come. What was carried in the step that brought it is no content: that is interrupted before.
    pub(super) fn is_behind_content(&self) -> bool {
        matches!(self.stage, Stage::Trailers { .. } | Stage::Done)
    }

    /// Reads on until the input or the body ends, or what is carried is interrupted. Returns what
    /// is used up, and the carried part of it.
    pub(super) fn advance(
        &mut self,
        input: &[u8],
        carry: Carry,
    ) -> Result<(usize, Range<usize>), BadBody> {
        let mut at = 0;
        let mut relay = 0..0;
        while at < input.len() && !self.is_done() {
            let (length, part) = self.step(&input[at..])?;
            if length == 0 {
                break;
            }
            let end = at + length;
            let is_carried = match carry {
                Carry::Wire => part != Part::Dropped,
                Carry::WireWithoutTrailers => matches!(part, Part::Wire | Part::Content),
                Carry::Content => part == Part::Content,
                Carry::ContentAndTrailers => matches!(part, Part::Content | Part::Trailer),
            };
            match (is_carried, relay.is_empty()) {
                (true, true) => relay = at..end,
                (true, false) => relay.end = end,
                (false, true) => {}
                (false, false) => return Ok((end, relay)),
            }
            at = end;
        }
        Ok((at, relay))
    }

    /// Reads one run of bytes of one kind; nothing where a trailer line is not whole yet.
    fn step(&mut self, input: &[u8]) -> Result<(usize, Part), BadBody> {
        match self.stage {
            Stage::Size { size, digits } => self.size(input[0], size, digits),
            Stage::Extension { size, length } => self.extension(input, size, length),
            Stage::SizeLineFeed { size } => {
                expect(input[0], b'\n', BadBody::ChunkSize)?;
                self.stage = self.begin_chunk(size)?;
                Ok((1, Part::Wire))
            }
            Stage::Data { left } => Ok((self.data(input, left), Part::Content)),
            Stage::DataReturn => {
                expect(input[0], b'\r', BadBody::ChunkEnd)?;
                self.stage = Stage::DataLineFeed;
                Ok((1, Part::Wire))
            }
            Stage::DataLineFeed => {
                expect(input[0], b'\n', BadBody::ChunkEnd)?;
                self.stage = Stage::Size { size: 0, digits: 0 };
                Ok((1, Part::Wire))
            }
            Stage::Trailers { length, lines } => self.trailer(input, length, lines),
            Stage::Done => Ok((0, Part::Dropped)),
        }
    }

    fn size(&mut self, byte: u8, size: u64, digits: u8) -> Result<(usize, Part), BadBody> {
        let (stage, part) = match (byte, char::from(byte).to_digit(16)) {
            (_, Some(digit)) if digits < DIGITS_MAX => {
                let size = size << 4 | u64::from(digit);
                let digits = digits + 1;
                (Stage::Size { size, digits }, Part::Wire)
            }
            (b'\r', _) if digits > 0 => (Stage::SizeLineFeed { size }, Part::Wire),
            (b';', _) if digits > 0 => (Stage::Extension { size, length: 1 }, Part::Dropped),
            _ => return Err(BadBody::ChunkSize),
        };
        self.stage = stage;
        Ok((1, part))
    }

    fn extension(
        &mut self,
        input: &[u8],
        size: u64,
        length: usize,
    ) -> Result<(usize, Part), BadBody> {
        if input[0] == b'\r' {
            self.stage = Stage::SizeLineFeed { size };
            return Ok((1, Part::Wire));
        }
        let run = memchr::memchr(b'\r', input).unwrap_or(input.len());
        let length = length + run;
        let is_valid = input[..run].iter().all(|byte| is_value_byte(*byte));
        if !is_valid || length > EXTENSION_MAX {
            return Err(BadBody::ChunkExtension);
        }
        self.stage = Stage::Extension { size, length };
        Ok((run, Part::Dropped))
    }

    fn begin_chunk(&mut self, size: u64) -> Result<Stage, BadBody> {
        if size == 0 {
            return Ok(Stage::Trailers {
                length: 0,
                lines: 0,
            });
        }
        self.allowed = self.allowed.checked_sub(size).ok_or(BadBody::TooLong)?;
        Ok(Stage::Data { left: size })
    }

    fn data(&mut self, input: &[u8], left: u64) -> usize {
        let taken = usize::try_from(left).map_or(input.len(), |left| left.min(input.len()));
        let left = left - taken as u64;
        self.stage = if left == 0 {
            Stage::DataReturn
        } else {
            Stage::Data { left }
        };
        taken
    }

    fn trailer(
        &mut self,
        input: &[u8],
        length: usize,
        lines: usize,
    ) -> Result<(usize, Part), BadBody> {
        let Some(line) = trailer::line(input)? else {
            return Ok((0, Part::Dropped));
        };
        let length = length + line.len();
        if length > trailer::SECTION_MAX {
            return Err(BadBody::TrailersTooLong);
        }
        let part = match Trailer::read(line)? {
            Trailer::End => {
                self.stage = Stage::Done;
                return Ok((line.len(), Part::Wire));
            }
            Trailer::Fit => Part::Trailer,
            Trailer::Unfit => Part::Dropped,
        };
        let lines = lines + 1;
        if lines > FIELDS_MAX {
            return Err(BadBody::TrailersTooLong);
        }
        self.stage = Stage::Trailers { length, lines };
        Ok((line.len(), part))
    }
}

fn expect(byte: u8, wanted: u8, error: BadBody) -> Result<(), BadBody> {
    if byte == wanted { Ok(()) } else { Err(error) }
}
