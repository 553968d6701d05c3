//! What the fuzz targets share: the codec, and the promises that its own tests make of any bytes.
//!
//! Both are compiled from their sources rather than through the `balancer` crate: so the coverage
//! that steers the fuzzer is the codec's alone, and a build takes a minute instead of the whole
//! product's.

#![forbid(unsafe_code)]
#![allow(
    unfulfilled_lint_expectations,
    reason = "the sources are those of a workspace with more lints"
)]

pub mod seeds;

#[path = "../../src/l7"]
#[allow(
    dead_code,
    unused_imports,
    reason = "the product uses more of the codec than is tried here"
)]
mod l7 {
    pub mod codec;
}

#[path = "../../src/l7/codec/tests"]
#[allow(
    dead_code,
    unused_imports,
    reason = "the codec's tests use more of their tools than is tried here"
)]
mod tests {
    mod checker;
    mod hyper_reading;
    pub mod invariants;
    mod proxy;
}

/// Each panics where a promise about the bytes is broken.
pub mod promises {
    /// A client's bytes: what is forwarded of them.
    pub fn requests(bytes: &[u8]) {
        crate::tests::invariants::requests(bytes);
    }

    /// A server's bytes: what is relayed of them.
    pub fn responses(bytes: &[u8]) {
        crate::tests::invariants::responses(bytes);
    }

    /// A chunked body.
    pub fn bodies(bytes: &[u8]) {
        crate::tests::invariants::bodies(bytes);
    }

    /// Either side's bytes: that hyper reads them as we do.
    pub fn readings(bytes: &[u8]) {
        crate::tests::invariants::readings(bytes);
    }
}
