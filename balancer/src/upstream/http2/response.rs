//! An answer of HTTP/2 as HTTP/1.1 has it.

use h2::RecvStream;
use http::Response;
use http::header::CONTENT_LENGTH;

use super::download::Asked;
use crate::http2::write_field;

/// Where an answer's body ends, and how that is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// There is none, and nothing to say of it but what the answer itself says.
    None,
    /// It is there, and empty.
    Empty,
    /// It is as long as the answer says.
    Declared,
    /// It ends with its last chunk, behind which trailers may stand.
    Chunked,
}

impl Ending {
    /// Of a final answer. Only chunks can have trailers behind them: where the client takes those, a length gives way to them.
    pub(super) fn of(response: &Response<RecvStream>, asked: Asked) -> Self {
        let declared = response.headers().contains_key(CONTENT_LENGTH);
        let has_none = asked.head_only || matches!(response.status().as_u16(), 204 | 304);
        match () {
            () if has_none => Self::None,
            () if response.body().is_end_stream() && declared => Self::None,
            () if response.body().is_end_stream() => Self::Empty,
            () if declared && !asked.trailers => Self::Declared,
            () => Self::Chunked,
        }
    }
}

/// Writes a head. What of it is not fit for HTTP/1.1 is refused by whoever reads it there.
pub(super) fn write_head<T>(response: &Response<T>, ending: Ending, out: &mut Vec<u8>) {
    let status = response.status();
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(status.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
    out.extend_from_slice(b"\r\n");
    for (name, value) in response.headers() {
        if ending != Ending::Chunked || name != CONTENT_LENGTH {
            write_field(out, name.as_str().as_bytes(), value.as_bytes());
        }
    }
    match ending {
        Ending::None | Ending::Declared => {}
        Ending::Empty => write_field(out, b"content-length", b"0"),
        Ending::Chunked => write_field(out, b"transfer-encoding", b"chunked"),
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(ending: Ending) -> String {
        let response = Response::builder()
            .status(203)
            .header("content-length", "7")
            .header("set-cookie", "a")
            .header("set-cookie", "b")
            .body(())
            .unwrap();
        let mut out = Vec::new();
        write_head(&response, ending, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn an_answer_says_once_where_its_body_ends() {
        let start = "HTTP/1.1 203 Non Authoritative Information\r\n";
        let cookies = "set-cookie: a\r\nset-cookie: b\r\n";
        assert_eq!(
            written(Ending::Declared),
            format!("{start}content-length: 7\r\n{cookies}\r\n")
        );
        assert_eq!(
            written(Ending::Chunked),
            format!("{start}{cookies}transfer-encoding: chunked\r\n\r\n")
        );
    }
}
