//! Why a handshake failed, in a word for the one who counts.

use std::io;

use rustls::{AlertDescription, CertificateError, Error, InvalidMessage, PeerIncompatible};

/// Why a handshake failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HandshakeError {
    #[error("it took too long")]
    TimedOut,
    #[error("the other side has gone")]
    Closed,
    #[error("there is no certificate for the name that is asked for")]
    NoCertificate,
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Tls(#[from] Error),
}

impl HandshakeError {
    /// The kind, of which there are few.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::TimedOut => "timeout",
            Self::Closed | Self::Io(_) => "closed",
            Self::NoCertificate => "no-certificate",
            Self::Tls(error) => kind(error),
        }
    }
}

fn kind(error: &Error) -> &'static str {
    match error {
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => "not-tls",
        Error::InvalidMessage(_) => "malformed",
        Error::NoCertificatesPresented => "peer-certificate-missing",
        Error::InvalidCertificate(error) => certificate(error),
        Error::NoApplicationProtocol => "no-common-protocol",
        Error::AlertReceived(alert) => received(*alert),
        Error::PeerIncompatible(error) => incompatible(error),
        _ => "other",
    }
}

/// What is wrong with the other side's certificate.
fn certificate(error: &CertificateError) -> &'static str {
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "peer-certificate-expired"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "peer-certificate-of-another-name"
        }
        CertificateError::UnknownIssuer => "peer-certificate-of-unknown-issuer",
        _ => "peer-certificate-invalid",
    }
}

/// What the other side says of our side.
fn received(alert: AlertDescription) -> &'static str {
    match alert {
        AlertDescription::UnknownCA
        | AlertDescription::BadCertificate
        | AlertDescription::CertificateUnknown
        | AlertDescription::CertificateExpired
        | AlertDescription::CertificateRevoked => "certificate-refused",
        AlertDescription::CertificateRequired => "certificate-required",
        AlertDescription::ProtocolVersion => "no-common-version",
        AlertDescription::UnrecognisedName => "unrecognized-name",
        _ => "alert-received",
    }
}

fn incompatible(error: &PeerIncompatible) -> &'static str {
    match error {
        PeerIncompatible::Tls12NotOffered
        | PeerIncompatible::Tls12NotOfferedOrEnabled
        | PeerIncompatible::Tls13RequiredForQuic
        | PeerIncompatible::ServerDoesNotSupportTls12Or13
        | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
        | PeerIncompatible::SupportedVersionsExtensionRequired => "no-common-version",
        _ => "no-common-cipher",
    }
}
