use super::*;

fn chunked(carry: Carry) -> BodyDecoder {
    BodyDecoder::new(Framing::Chunked, carry, &Limits::default())
}

fn error_of(wire: &[u8]) -> Option<BadBody> {
    let mut decoder = chunked(Carry::Wire);
    let mut rest = wire;
    loop {
        match decoder.advance(rest) {
            Ok(step) if decoder.is_done() || step.consumed == 0 => return None,
            Ok(step) => rest = &rest[step.consumed..],
            Err(bad) => return Some(bad),
        }
    }
}

#[test]
fn a_plain_chunked_body_is_relayed_in_one_piece() {
    let wire = b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\nGET";
    let mut decoder = chunked(Carry::Wire);
    let step = decoder.advance(wire).unwrap();
    let end = wire.len() - 3;
    let whole = Advance {
        consumed: end,
        relay: 0..end,
        is_trailer: false,
    };
    assert_eq!(step, whole);
    assert!(decoder.is_done());
}

#[test]
fn the_data_of_a_large_chunk_is_one_piece_however_much_of_it_is_there() {
    let mut decoder = chunked(Carry::Content);
    decoder.advance(b"fffff\r\n").unwrap();
    let step = decoder.advance(&[b'x'; 65_536]).unwrap();
    assert_eq!(step.relay, 0..65_536);
}

#[test]
fn content_and_trailers_are_carried_apart_however_the_input_is_cut() {
    let wire = b"2\r\nhe\r\n3;x\r\nllo\r\n0\r\nA: 1\r\nHost: x\r\nB: 2\r\n\r\n";
    for cut in 1..wire.len() {
        let mut decoder = chunked(Carry::ContentAndTrailers);
        let (mut content, mut trailers, mut rest) = (vec![], vec![], vec![]);
        for piece in wire.chunks(cut) {
            rest.extend_from_slice(piece);
            loop {
                let step = decoder.advance(&rest).unwrap();
                let part = if step.is_trailer {
                    &mut trailers
                } else {
                    &mut content
                };
                part.extend_from_slice(&rest[step.relay]);
                rest.drain(..step.consumed);
                if step.consumed == 0 {
                    break;
                }
            }
        }
        assert!(decoder.is_done());
        assert_eq!(content, b"hello", "in pieces of {cut}");
        assert_eq!(trailers, b"A: 1\r\nB: 2\r\n", "in pieces of {cut}");
    }
}

#[test]
fn a_size_is_hex_digits_and_nothing_else() {
    for line in [
        "+5",
        "0x5",
        " 5",
        "5 ",
        "0_5",
        "5zz",
        "",
        "-1",
        "\n5",
        ";a",
        "11112222333344445",
    ] {
        let wire = format!("{line}\r\nhello\r\n0\r\n\r\n");
        assert_eq!(
            error_of(wire.as_bytes()),
            Some(BadBody::ChunkSize),
            "{line:?}"
        );
    }
}

#[test]
fn every_line_of_the_coding_ends_with_crlf() {
    assert_eq!(error_of(b"5\nhello\r\n0\r\n\r\n"), Some(BadBody::ChunkSize));
    assert_eq!(error_of(b"5\r\nhello\n0\r\n\r\n"), Some(BadBody::ChunkEnd));
    assert_eq!(error_of(b"5\r\nhello0\r\n\r\n"), Some(BadBody::ChunkEnd));
    assert_eq!(error_of(b"5\r\nhelloX\n0\r\n\r\n"), Some(BadBody::ChunkEnd));
    assert_eq!(error_of(b"0\r\n\n"), Some(BadBody::Trailer));
    assert_eq!(error_of(b"0\n\n"), Some(BadBody::ChunkSize));
}

#[test]
fn an_extension_is_bounded_and_has_no_control_bytes() {
    let long = format!("5;{}\r\nhello\r\n0\r\n\r\n", "a".repeat(257));
    assert_eq!(error_of(long.as_bytes()), Some(BadBody::ChunkExtension));
    assert_eq!(
        error_of(b"5;a\0\r\nhello\r\n"),
        Some(BadBody::ChunkExtension)
    );
    assert_eq!(error_of(b"5;a\rb\r\nhello\r\n"), Some(BadBody::ChunkSize));
    assert_eq!(error_of(b"5;a\nhello\r\n"), Some(BadBody::ChunkExtension));
}

#[test]
fn a_size_near_the_largest_number_does_not_wrap() {
    assert_eq!(
        error_of(b"ffffffffffffffff\r\nhello"),
        Some(BadBody::TooLong)
    );
    assert_eq!(
        error_of(b"7fffffffffffffff\r\n"),
        None,
        "the largest that is allowed"
    );
}

#[test]
fn a_body_beyond_the_limit_is_refused_before_its_excess_is_read() {
    let limits = Limits::new(8_192, 8_192, 100, 8);
    let mut decoder = BodyDecoder::new(Framing::Chunked, Carry::Wire, &limits);
    decoder.advance(b"5\r\nhello\r\n").unwrap();
    assert_eq!(decoder.advance(b"4\r\n"), Err(BadBody::TooLong));
}

#[test]
fn trailers_are_bounded_line_by_line_and_together() {
    let line = format!("0\r\nX: {}", "a".repeat(BodyDecoder::REST_MAX));
    assert_eq!(error_of(line.as_bytes()), Some(BadBody::TrailersTooLong));
    let lines = format!("0\r\n{}\r\n", "X: aaaaaaaaaaaaaaaaaaaa\r\n".repeat(400));
    assert_eq!(error_of(lines.as_bytes()), Some(BadBody::TrailersTooLong));
}

#[test]
fn trailers_are_no_more_than_a_heads_fields_may_be() {
    let most = format!("0\r\n{}\r\n", "X:\r\n".repeat(100));
    assert_eq!(error_of(most.as_bytes()), None);
    let more = format!("0\r\n{}\r\n", "X:\r\n".repeat(101));
    assert_eq!(error_of(more.as_bytes()), Some(BadBody::TrailersTooLong));
}

#[test]
fn an_unfinished_trailer_line_waits_for_its_end() {
    let mut decoder = chunked(Carry::Wire);
    let step = decoder.advance(b"0\r\nX-T: 1").unwrap();
    assert_eq!((step.consumed, decoder.is_done()), (3, false));
    let step = decoder.advance(b"X-T: 1").unwrap();
    assert_eq!(step.consumed, 0);
    let step = decoder.advance(b"X-T: 1\r\n\r\n").unwrap();
    assert_eq!((step.relay, decoder.is_done()), (0..10, true));
}

#[test]
fn only_a_body_that_lasts_until_the_end_may_end_there() {
    let limits = Limits::default();
    let end = |framing| BodyDecoder::new(framing, Carry::Wire, &limits).end_of_input();
    assert_eq!(end(Framing::None), Ok(()));
    assert_eq!(end(Framing::Length(0)), Ok(()));
    assert_eq!(end(Framing::UntilClose), Ok(()));
    assert_eq!(end(Framing::Length(1)), Err(BadBody::Truncated));
    assert_eq!(end(Framing::Chunked), Err(BadBody::Truncated));
}

#[test]
fn a_chunk_head_is_the_length_in_hex() {
    assert_eq!(ChunkHead::of(1).bytes(), b"1\r\n");
    assert_eq!(ChunkHead::of(65_536).bytes(), b"10000\r\n");
    assert_eq!(ChunkHead::of(usize::MAX).bytes(), b"ffffffffffffffff\r\n");
}
