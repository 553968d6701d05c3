//! What can be set when a balancer starts. What concerns the fleet is in the registry instead.

use std::net::SocketAddr;
use std::num::NonZero;
use std::path::PathBuf;
use std::time::Duration;

use certificates::SealKeys;
use ipnet::IpNet;
use registry::NOTICED_WITHIN;

use crate::codec::{FIELDS_MAX, HEAD_MAX};
use crate::trusted::network;

/// The most worker threads.
const THREADS_MAX: u64 = 1024;

/// The most client connections: more than a process can have.
const CONNECTIONS_MAX: u64 = 1 << 30;

/// The least that can be allowed for a head: less would refuse ordinary requests.
const HEAD_MIN: u64 = 1024;

/// The same for its first line.
const REQUEST_LINE_MIN: u64 = 64;

/// The most requests under way on one connection of HTTP/2.
const HTTP2_STREAMS_MAX: u64 = 1 << 16;

/// Bytes of a window of HTTP/2: what every client assumes at first, and the most there can be (RFC 9113, 6.9.2 and 6.5.2).
const HTTP2_WINDOW_MIN: u64 = 65_535;
const HTTP2_WINDOW_MAX: u64 = (1 << 31) - 1;

/// Bytes of a frame of HTTP/2 (RFC 9113, 6.5.2).
const HTTP2_FRAME_MIN: u64 = 1 << 14;
const HTTP2_FRAME_MAX: u64 = (1 << 24) - 1;

/// The most frames that can be allowed for.
const HTTP2_FRAMES_MAX: u64 = 1 << 30;

/// The shortest time for a client: the clock of a worker counts no shorter ones.
const TIMEOUT_MIN: Duration = Duration::from_millis(10);

/// The shortest limit for being cut off from the registry: it is noticed before it is over, however silently it began.
const STALE_LIMIT_MIN: Duration = Duration::from_secs(5);
const _: () = assert!(NOTICED_WITHIN.as_millis() < STALE_LIMIT_MIN.as_millis());

/// The flags of `roundhouse balancer`.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    #[command(flatten)]
    pub registry: registry::Options,

    /// Where clients are served.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8000", value_parser = runtime::address)]
    pub listen: SocketAddr,

    /// Where clients are served within TLS; nowhere where it is not given.
    #[arg(long, value_name = "ADDR", value_parser = runtime::address)]
    pub listen_tls: Option<SocketAddr>,

    /// A file with the secret seal keys, one a line, by which the private keys of the registry's certificates are opened. It is read
    /// again when it changes.
    #[arg(long, value_name = "FILE")]
    pub seal_key_file: Option<PathBuf>,

    /// A folder with certificates of this balancer's own: NAME.pem is a chain, NAME.key its private key, both as PEM. They are shown
    /// beside those of the registry, and read again when they change.
    #[arg(long, value_name = "DIR")]
    pub certificate_dir: Option<PathBuf>,

    /// Seal keys besides those of the file, for a fleet within one process.
    #[arg(skip)]
    pub seal_keys: SealKeys,

    /// Where /livez, /readyz and /metrics are served.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8100", value_parser = runtime::address)]
    pub ops: SocketAddr,

    /// Worker threads; as many as there are cores where none is given.
    #[arg(long, value_name = "N", value_parser = runtime::whole_number::<NonZero<usize>>(1..=THREADS_MAX))]
    pub threads: Option<NonZero<usize>>,

    /// Where it keeps the last good state, from which it starts while the registry is away.
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,

    /// The address at which clients reach it, as it is listed; that of --listen where none is given,
    /// with the host's name for an unspecified one.
    #[arg(long, value_name = "ADDR")]
    pub advertise: Option<String>,

    /// The region it is in, as it is listed.
    #[arg(long, value_name = "REGION", default_value = "")]
    pub region: String,

    /// The zone it is in, as it is listed.
    #[arg(long, value_name = "ZONE", default_value = "")]
    pub zone: String,

    /// How long it may be cut off from the registry and go on taking requests, at least 5s; for ever where none is given. After that
    /// it answers 503 until it follows the registry again: for those to whom an old table is worse than none.
    #[arg(long, value_name = "DURATION", value_parser = model::duration_from(STALE_LIMIT_MIN))]
    pub stale_limit: Option<Duration>,

    /// Where another process of this balancer asks for its listeners, to take its place without losing a request. Where one
    /// runs with the same path already, this one takes its place.
    #[arg(long, value_name = "PATH")]
    pub handover: Option<PathBuf>,

    /// How long requests under way may still take when it is asked to end. Clients that had begun to connect are still served; no
    /// more can begin.
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = model::parse_duration)]
    pub drain_timeout: Duration,

    /// How long it still takes clients in when it is asked to end, while /readyz says already that it is stopping: as long as
    /// whoever watches that needs to send no more. Where another process takes its place, nobody is waited for.
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = model::parse_duration)]
    pub shutdown_delay: Duration,

    /// How long a request's head may take from its first byte to its last.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = model::duration_from(TIMEOUT_MIN))]
    pub head_timeout: Duration,

    /// How long a client may pause while its request's body is awaited.
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = model::duration_from(TIMEOUT_MIN))]
    pub body_timeout: Duration,

    /// How long a client's connection may wait for its next request.
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = model::duration_from(TIMEOUT_MIN))]
    pub keep_alive_timeout: Duration,

    /// How long a client that has closed its side still waits for its answer. It may have gone, or may have said no more than that nothing
    /// else will come: only time tells.
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = model::duration_from(TIMEOUT_MIN))]
    pub half_closed_timeout: Duration,

    /// Requests that one connection may make, the last of which is answered with `Connection: close`; 0 for any number.
    #[arg(long, value_name = "N", default_value = "10000", value_parser = runtime::whole_number::<u64>(0..=u64::MAX))]
    pub keep_alive_requests: u64,

    /// Client connections at the same time, at most; 65536 where none is given. Of the files that the process may have open, a quarter,
    /// but at most 256, are set aside; clients never have more than three quarters of the rest.
    #[arg(long, value_name = "N", value_parser = runtime::whole_number::<NonZero<usize>>(1..=CONNECTIONS_MAX))]
    pub max_connections: Option<NonZero<usize>>,

    /// Connections of one client at the same time, at most: of one IPv4 address or one IPv6 network of 64 bits, but those of
    /// trusted proxies; 0 for any number.
    #[arg(long, value_name = "N", default_value = "16384", value_parser = runtime::whole_number::<usize>(0..=CONNECTIONS_MAX))]
    pub max_connections_per_client: usize,

    /// Bytes of a request's head, at most.
    #[arg(long, value_name = "BYTES", default_value = "32768", value_parser = runtime::whole_number::<usize>(HEAD_MIN..=HEAD_MAX as u64))]
    pub max_head_bytes: usize,

    /// Bytes of a request's first line, at most; no more than --max-head-bytes.
    #[arg(long, value_name = "BYTES", default_value = "8192", value_parser = runtime::whole_number::<usize>(REQUEST_LINE_MIN..=HEAD_MAX as u64))]
    pub max_request_line: usize,

    /// Fields of a request's head, at most.
    #[arg(long, value_name = "N", default_value = "100", value_parser = runtime::whole_number::<usize>(1..=FIELDS_MAX as u64))]
    pub max_fields: usize,

    /// Whether a connection without TLS is one of HTTP/2 where it begins with that one's preface.
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    pub h2c: bool,

    /// Requests under way on one connection of HTTP/2, at most.
    #[arg(long, value_name = "N", default_value = "100", value_parser = runtime::whole_number::<u32>(1..=HTTP2_STREAMS_MAX))]
    pub http2_max_streams: u32,

    /// Bytes of a request's body that a client of HTTP/2 may send before any of it is used.
    #[arg(long, value_name = "BYTES", default_value = "262144", value_parser = runtime::whole_number::<u32>(HTTP2_WINDOW_MIN..=HTTP2_WINDOW_MAX))]
    pub http2_window: u32,

    /// The same for all requests of one connection together; no less than --http2-window.
    #[arg(long, value_name = "BYTES", default_value = "1048576", value_parser = runtime::whole_number::<u32>(HTTP2_WINDOW_MIN..=HTTP2_WINDOW_MAX))]
    pub http2_connection_window: u32,

    /// Bytes of an HTTP/2 frame's content, at most.
    #[arg(long, value_name = "BYTES", default_value = "16384", value_parser = runtime::whole_number::<u32>(HTTP2_FRAME_MIN..=HTTP2_FRAME_MAX))]
    pub http2_max_frame_bytes: u32,

    /// Requests that a client of HTTP/2 may cancel in a row. Each that is answered allows one more, and each second a tenth of them.
    #[arg(long, value_name = "N", default_value = "200", value_parser = runtime::whole_number::<u32>(1..=HTTP2_FRAMES_MAX))]
    pub http2_max_resets: u32,

    /// Frames that a client of HTTP/2 may send in a row though they bring nothing: PING, PRIORITY, WINDOW_UPDATE,
    /// unknown ones, SETTINGS, each of which counts for ten, and DATA without content, for twenty. There are two more for each of `--http2-max-streams`.
    /// Requests and content, in either direction, allow more, and so does time: each second a tenth of all.
    #[arg(long, value_name = "N", default_value = "1000", value_parser = runtime::whole_number::<u32>(100..=HTTP2_FRAMES_MAX))]
    pub http2_max_control_frames: u32,

    /// Proxies in front of this balancer, as networks or addresses: what they say of where a request comes from
    /// (X-Forwarded-*, Forwarded) and their X-Request-Id are kept and continued. Those of all others are dropped.
    #[arg(long, value_name = "CIDR,...", value_delimiter = ',', value_parser = network)]
    pub trusted_proxies: Vec<IpNet>,
}

impl Args {
    /// Whether the flags can be followed together.
    ///
    /// # Errors
    /// One line that says which cannot.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.max_request_line > self.max_head_bytes {
            return Err(format!(
                "--max-request-line {} is more than --max-head-bytes {}, of which the line is a part",
                self.max_request_line, self.max_head_bytes
            ));
        }
        Ok(())
    }

    /// The number of worker threads.
    pub(crate) fn workers(&self) -> usize {
        let cores = || std::thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN);
        self.threads.unwrap_or_else(cores).get()
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    fn parse(line: &str) -> Result<Args, String> {
        let parsed = Cli::try_parse_from(["balancer"].into_iter().chain(line.split_whitespace()));
        parsed
            .map(|cli| cli.args)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_first_line_that_no_head_could_hold_is_refused_in_one_line() {
        let args = parse("--max-head-bytes 4096").unwrap();
        let problem = args.check().expect_err("8192 are more");
        assert!(problem.starts_with("--max-request-line 8192 "), "{problem}");
        assert!(!problem.contains('\n'));
        let args = parse("--max-head-bytes 4096 --max-request-line 4096").unwrap();
        assert_eq!(args.check(), Ok(()));
        assert_eq!(parse("").unwrap().check(), Ok(()));
    }

    #[test]
    fn a_limit_out_of_bounds_is_refused() {
        for line in [
            "--max-fields 101",
            "--max-fields 0",
            "--max-head-bytes 65536",
            "--max-head-bytes 1023",
            "--max-request-line 63",
            "--max-connections 0",
            "--body-timeout 1ms",
            "--stale-limit 4s",
            "--trusted-proxies 10.0.0.0/33",
            "--trusted-proxies 192.0.2.7,10.0.0.1/8",
            "--trusted-proxies 10.0.0.0/8,nobody",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn nothing_is_served_within_tls_unless_it_is_asked_for() {
        let args = parse("").unwrap();
        assert_eq!(
            (args.listen_tls, args.seal_key_file, args.certificate_dir),
            (None, None, None)
        );
        assert_eq!(args.seal_keys.public().count(), 0);
        let args = parse("--listen-tls 127.0.0.1:8443 --seal-key-file a.keys --certificate-dir b");
        let args = args.unwrap();
        assert_eq!(args.listen_tls, Some(([127, 0, 0, 1], 8443).into()));
        let named = (args.seal_key_file, args.certificate_dir);
        assert_eq!(named, (Some("a.keys".into()), Some("b".into())));
    }

    #[test]
    fn trusted_proxies_are_a_list() {
        let args = parse("--trusted-proxies 10.0.0.0/8,192.0.2.7").unwrap();
        assert_eq!(args.trusted_proxies.len(), 2);
        assert!(parse("").unwrap().trusted_proxies.is_empty());
    }
}
