//! Failures as they cross.

use kith_core::application::ApplicationError;
use uniffi::UnexpectedUniFFICallbackError;

/// A failed call. The hand-written layers make an exception of the kind's own class of it.
#[derive(Clone, Debug, thiserror::Error, uniffi::Error)]
pub enum Failure {
    /// The only variant: the kind tells the failures apart.
    #[error("{kind}: {message}")]
    Failed {
        /// The number of the [`kith_core::ErrorKind`].
        kind: u32,
        /// What went wrong, in words.
        message: String,
    },
}

impl From<kith_core::Error> for Failure {
    fn from(error: kith_core::Error) -> Self {
        Self::Failed { kind: error.kind().code(), message: error.message().to_owned() }
    }
}

/// Why an application of the host did not carry out a call.
#[derive(Clone, Debug, thiserror::Error, uniffi::Error)]
pub enum ApplicationFailure {
    /// The call is refused, by every member alike.
    #[error("{message}")]
    Rejected {
        /// For people.
        message: String,
    },
    /// Something is wrong on this machine only; applying halts and is retried.
    #[error("{message}")]
    Fault {
        /// For people.
        message: String,
    },
}

impl From<UnexpectedUniFFICallbackError> for ApplicationFailure {
    /// The hand-written layer turns whatever the application raises into a [`ApplicationFailure::Rejected`]. What comes
    /// here went wrong outside of the application (in the conversion of its answer, say), on this machine perhaps only.
    fn from(error: UnexpectedUniFFICallbackError) -> Self {
        Self::Fault { message: error.reason }
    }
}

impl From<ApplicationFailure> for ApplicationError {
    fn from(failure: ApplicationFailure) -> Self {
        match failure {
            ApplicationFailure::Rejected { message } => Self::Rejected(message),
            ApplicationFailure::Fault { message } => Self::Fault(message),
        }
    }
}

impl From<ApplicationError> for ApplicationFailure {
    fn from(error: ApplicationError) -> Self {
        match error {
            ApplicationError::Rejected(message) => Self::Rejected { message },
            ApplicationError::Fault(message) => Self::Fault { message },
            other => Self::Fault { message: other.to_string() },
        }
    }
}
