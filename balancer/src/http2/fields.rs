//! Fields of HTTP/2 as lines of HTTP/1.1.

use http::HeaderMap;

/// Writes a line.
pub(crate) fn write_field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    for part in [name, b": ", value, b"\r\n"] {
        out.extend_from_slice(part);
    }
}

/// Writes the last chunk and the fields behind it, as they are.
pub(crate) fn write_trailers(trailers: &HeaderMap, out: &mut Vec<u8>) {
    out.extend_from_slice(b"0\r\n");
    for (name, value) in trailers {
        write_field(out, name.as_str().as_bytes(), value.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trailers_follow_the_last_chunk() {
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", "0".parse().unwrap());
        trailers.insert("grpc-message", "".parse().unwrap());
        let mut out = Vec::new();
        write_trailers(&trailers, &mut out);
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text, "0\r\ngrpc-status: 0\r\ngrpc-message: \r\n\r\n");
    }
}
