//! The client as others hold it. What can be asked is in the files of the things it is asked about.

use crate::transport::Transport;
use crate::{AdminUrl, Token};

/// A client of one admin API. Clones share its connections.
#[derive(Debug, Clone)]
pub struct Client {
    pub(crate) transport: Transport,
}

impl Client {
    /// Connects when it is first asked something.
    pub fn new(url: AdminUrl, token: Option<Token>) -> Self {
        Self {
            transport: Transport::new(url, token),
        }
    }

    pub fn url(&self) -> &AdminUrl {
        &self.transport.url
    }
}
