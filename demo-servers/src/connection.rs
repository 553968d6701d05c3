//! One connection, from its acceptance to its end or its reset.

use std::error::Error;
use std::sync::Arc;

use hyper::service::service_fn;
use runtime::{Broken, Connection};

use crate::answer::{Greeter, Reset};

/// Answers until the connection ends, or until an answer asks for its reset.
pub(crate) async fn converse(connection: Connection, greeter: Arc<Greeter>) {
    let Ok(address) = connection.local() else {
        return;
    };
    let service = service_fn(|request| greeter.answer(request, address));
    if let Err(Broken { error, stream }) = connection.converse(service).await
        && asks_for_reset(&error)
    {
        // With nothing to linger for, the kernel drops what was written and sends RST.
        let _ = stream.set_zero_linger();
    }
}

fn asks_for_reset(error: &hyper::Error) -> bool {
    error.source().is_some_and(<dyn Error>::is::<Reset>)
}
