//! Who a caller without a certificate is: whoever its join token was made for.
//!
//! A token is bound to one workload and one identity when it is made. Its holder chooses nothing: a token that
//! named no identity would let its holder be anybody. It is 256 random bits, shown once and kept as a SHA-256,
//! so that reading the state directory's journal admits nobody.
//!
//! A use is journaled before anything is signed. Of two callers who race for the last use, one finds it taken;
//! a crash in between costs the use and never gives two.
//!
//! Every refusal looks the same to the caller. The reason is in the log and in the metrics.

pub mod cluster;
pub mod published;
pub mod review;
pub mod signed;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use tonic::Code;
use weft_certs::authority::Lifetime;
use weft_certs::bundle::RootHash;
use weft_policy::identity::{SpiffeId, TrustDomain};
use weft_proto::token::{Secret, Token};

use crate::custody::unix;
use crate::journal::record::{self, BadName, Change, Grant, Name};
use crate::journal::state::State;
use crate::journal::{JournalError, Ledger};

/// Makes join tokens and admits their holders.
#[derive(Clone, Debug)]
pub struct JoinTokens {
    ledger: Arc<Ledger>,
    domain: TrustDomain,
}

impl JoinTokens {
    /// Tokens of this trust domain, kept in this ledger.
    #[must_use]
    pub fn new(ledger: Arc<Ledger>, domain: TrustDomain) -> Self {
        Self { ledger, domain }
    }

    /// A new token. `root` is what the control plane presents: see
    /// [`presented_root`](crate::custody::Custody::presented_root). It waits for the disk.
    ///
    /// # Errors
    /// [`TokenError`]; there is no token then.
    pub fn create(&self, wanted: &Wanted, root: RootHash, now: SystemTime) -> Result<Created, TokenError> {
        let workload: Name = wanted.workload.parse()?;
        let identity = SpiffeId::workload(&self.domain, &workload.namespace, &wanted.service_account)
            .map_err(|_| TokenError::ServiceAccount)?;
        if wanted.service_account.len() > MAX_SERVICE_ACCOUNT {
            return Err(TokenError::ServiceAccount);
        }
        let lifetime = if wanted.lifetime.is_zero() { DEFAULT_LIFETIME } else { wanted.lifetime };
        if lifetime > MAX_LIFETIME {
            return Err(TokenError::Lifetime);
        }
        let uses = wanted.uses.max(1);
        if uses > MAX_USES {
            return Err(TokenError::Uses);
        }
        let mut secret = [0; 32];
        aws_lc_rs::rand::fill(&mut secret).map_err(|_| TokenError::NoRandomness)?;
        let not_after_unix = unix(now).saturating_add(lifetime.as_secs());
        let token = record::Token {
            secret_sha256: hash(&secret),
            identity: identity.to_string(),
            workload,
            uses_left: uses,
            not_after_unix,
        };
        self.ledger.commit(|state| {
            if state.tokens.len() >= MAX_TOKENS {
                return Err(TokenError::TooMany);
            }
            Ok((vec![Change::Token(token)], ()))
        })?;
        let token = Token {
            trust_domain: self.domain.clone(),
            root_sha256: *root.as_bytes(),
            secret: Secret(secret),
        };
        Ok(Created { token, identity, not_after_unix })
    }

    /// Whom a token would admit now. Uses nothing, writes nothing, waits for nothing: strangers are turned away
    /// here. `said` is the workload that the caller claims to be, or empty.
    ///
    /// # Errors
    /// As [`admit`](Self::admit).
    pub fn look(&self, token: &str, said: &str, now: SystemTime) -> Result<Admitted, Refused> {
        let secret_sha256 = self.read(token)?;
        self.ledger
            .read(|state| self.plan_use(state, &secret_sha256, said, now))
            .map(|(_, admitted)| admitted)
    }

    /// Uses a token once and says whom it admits. When this returns, the use is on the disk. It waits for the
    /// disk.
    ///
    /// # Errors
    /// The reason, for the log only: see [`Refused::label`].
    pub fn admit(&self, token: &str, said: &str, now: SystemTime) -> Result<Admitted, Refused> {
        let secret_sha256 = self.read(token)?;
        self.ledger.commit(|state| self.plan_use(state, &secret_sha256, said, now))
    }

    /// Gives a use back, because no certificate came of it through no more than a bad request or a trouble of
    /// our own. It waits for the disk; if that fails, the use stays taken.
    pub fn give_back(&self, admitted: &Admitted) {
        let given = self.ledger.commit(|state| {
            let token = state.tokens.get(&admitted.secret_sha256).cloned();
            let back =
                token.map(|token| record::Token { uses_left: token.uses_left.saturating_add(1), ..token });
            Ok::<_, JournalError>((back.into_iter().map(Change::Token).collect(), ()))
        });
        if let Err(error) = given {
            tracing::error!(%error, workload = %admitted.workload, "a join token's use could not be given back");
        }
    }

    /// Notes that a workload has a leaf until then, so that its grant is kept at least as long. It waits for the
    /// disk.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn note_leaves(&self, leaves: &[(SpiffeId, SystemTime)]) -> Result<(), JournalError> {
        for (id, until) in leaves {
            let until = unix(*until);
            let renewed = |state: &State| {
                let longer: Vec<_> = grants_of(state, id)
                    .filter(|grant| grant.leaf_not_after_unix < until)
                    .take(MAX_AT_ONCE)
                    .map(|grant| Change::Grant(Grant { leaf_not_after_unix: until, ..grant.clone() }))
                    .collect();
                let more = longer.len() == MAX_AT_ONCE;
                Ok::<_, JournalError>((longer, more))
            };
            while self.ledger.commit(renewed)? {}
        }
        Ok(())
    }

    /// Whether somebody enrolled as this identity and has not been forgotten.
    #[must_use]
    pub fn knows(&self, id: &SpiffeId) -> bool {
        self.ledger.read(|state| grants_of(state, id).next().is_some())
    }

    /// Forgets tokens a day after they expired and grants whose last leaf expired a week ago. It waits for the
    /// disk.
    ///
    /// # Errors
    /// If it cannot be written; the next call tries again.
    pub fn forget_expired(&self, now: SystemTime) -> Result<(), JournalError> {
        let now = unix(now);
        self.ledger.commit(|state| {
            let tokens = state
                .tokens
                .values()
                .filter(|token| token.not_after_unix.saturating_add(TOKEN_MEMORY.as_secs()) < now)
                .map(|token| Change::TokenGone(token.secret_sha256.clone()));
            let grants = state
                .grants
                .values()
                .filter(|grant| grant.leaf_not_after_unix.saturating_add(GRANT_MEMORY.as_secs()) < now)
                .filter(|grant| !state.registered.contains_key(&grant.workload))
                .map(|grant| Change::GrantGone(grant.workload.clone()));
            Ok((tokens.chain(grants).take(MAX_AT_ONCE).collect(), ()))
        })
    }

    /// The hash of the token's secret, if it is a token of this domain.
    fn read(&self, token: &str) -> Result<Vec<u8>, Refused> {
        let token: Token = token.parse().map_err(|_| Refused::Malformed)?;
        if token.trust_domain == self.domain {
            Ok(hash(&token.secret.0))
        } else {
            Err(Refused::OtherTrustDomain)
        }
    }

    fn plan_use(
        &self,
        state: &State,
        secret_sha256: &[u8],
        said: &str,
        now: SystemTime,
    ) -> Result<(Vec<Change>, Admitted), Refused> {
        let token = state
            .tokens
            .get(secret_sha256)
            // The map's own comparison stops at the first difference, of a hash that nobody can steer.
            .filter(|token| verify_slices_are_equal(&token.secret_sha256, secret_sha256).is_ok())
            .ok_or(Refused::Unknown)?;
        if !said.is_empty() && said.parse() != Ok(token.workload.clone()) {
            return Err(Refused::OtherWorkload);
        }
        let identity: SpiffeId = token.identity.parse().map_err(|_| Refused::OtherTrustDomain)?;
        if identity.trust_domain() != self.domain.as_str() {
            return Err(Refused::OtherTrustDomain);
        }
        if unix(now) >= token.not_after_unix {
            return Err(Refused::Expired);
        }
        let uses_left = token.uses_left.checked_sub(1).ok_or(Refused::Used)?;
        if state.denied.iter().any(|denied| denied.identity == token.identity) {
            return Err(Refused::Denied);
        }
        if state.grants.len() >= MAX_GRANTS && !state.grants.contains_key(&token.workload) {
            return Err(Refused::TooManyWorkloads);
        }
        let grant = Grant {
            workload: token.workload.clone(),
            identity: token.identity.clone(),
            leaf_not_after_unix: unix(now).saturating_add(Lifetime::MAX.as_secs()),
        };
        let admitted =
            Admitted { identity, workload: token.workload.clone(), secret_sha256: secret_sha256.to_vec() };
        let used = record::Token { uses_left, ..token.clone() };
        Ok((vec![Change::Token(used), Change::Grant(grant)], admitted))
    }
}

/// What a token shall admit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// `namespace/name` of the one workload.
    pub workload: String,
    /// Its service account, which with the namespace makes its identity.
    pub service_account: String,
    /// How long the token may be used; zero for 24 hours.
    pub lifetime: Duration,
    /// How often; zero for once.
    pub uses: u32,
}

/// A new token. Its secret is nowhere else.
#[derive(Debug)]
pub struct Created {
    /// To be shown once.
    pub token: Token,
    /// Whom it admits.
    pub identity: SpiffeId,
    /// Until when, in seconds since 1970.
    pub not_after_unix: u64,
}

/// A caller whose token was good, once.
#[derive(Clone, PartialEq, Eq)]
pub struct Admitted {
    /// Who it is.
    pub identity: SpiffeId,
    /// Which workload.
    pub workload: Name,
    secret_sha256: Vec<u8>,
}

impl fmt::Debug for Admitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} as {}", self.workload, self.identity)
    }
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The workload.
    #[error(transparent)]
    Workload(#[from] BadName),
    /// The service account.
    #[error(
        "the service account must be one name of at most {MAX_SERVICE_ACCOUNT} letters, digits, dots, dashes, underscores"
    )]
    ServiceAccount,
    /// Over 30 days.
    #[error("a join token lives at most {} days; make a new one when it is needed", MAX_LIFETIME.as_secs() / DAY)]
    Lifetime,
    /// Over the limit.
    #[error("a join token can be used at most {MAX_USES} times")]
    Uses,
    /// Too many are open.
    #[error("there are {MAX_TOKENS} join tokens already; wait for some to expire, or give a token more uses")]
    TooMany,
    /// No secret.
    #[error("the system gives no randomness; there is no token")]
    NoRandomness,
    /// It could not be written down.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

impl TokenError {
    /// How an operator's order that fails for this reason is answered.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Workload(_) | Self::ServiceAccount | Self::Lifetime | Self::Uses => Code::InvalidArgument,
            Self::TooMany => Code::ResourceExhausted,
            // Asking again in the same way may succeed: the disk has room again.
            Self::NoRandomness | Self::Journal(_) => Code::Unavailable,
        }
    }
}

/// Why a token does not admit its holder. All of these look the same from outside.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// Not a token at all.
    #[error("what was sent is not a join token")]
    Malformed,
    /// Of another mesh.
    #[error("the join token is for another trust domain")]
    OtherTrustDomain,
    /// Never made here, or forgotten.
    #[error("no such join token was made here, or it expired more than a day ago")]
    Unknown,
    /// Made for somebody else than the caller says it is.
    #[error("the join token was made for another workload than the caller says it is")]
    OtherWorkload,
    /// Too late.
    #[error("the join token has expired")]
    Expired,
    /// All uses are taken.
    #[error("the join token has been used already; if its holder did not do that, somebody else has it")]
    Used,
    /// The identity is on the deny list.
    #[error("the join token's identity is denied")]
    Denied,
    /// The bound on what is kept.
    #[error("{MAX_GRANTS} workloads have enrolled, which is the limit; forget some that are gone")]
    TooManyWorkloads,
    /// The use could not be written down, so nothing is signed.
    #[error("the join token's use could not be recorded")]
    Journal(#[from] JournalError),
}

impl Refused {
    /// A short name, for metrics and the audit log.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Malformed => "token_malformed",
            Self::OtherTrustDomain => "token_other_trust_domain",
            Self::Unknown => "token_unknown",
            Self::OtherWorkload => "token_other_workload",
            Self::Expired => "token_expired",
            Self::Used => "token_used",
            Self::Denied => "token_denied",
            Self::TooManyWorkloads => "too_many_workloads",
            Self::Journal(_) => "journal",
        }
    }
}

fn grants_of<'s>(state: &'s State, id: &'s SpiffeId) -> impl Iterator<Item = &'s Grant> {
    // Grants are sorted by namespace, and an identity names one.
    let namespace = id.as_workload().map_or("", |workload| workload.namespace);
    let from = Name { namespace: namespace.to_owned(), name: String::new() };
    state
        .grants
        .range(from..)
        .take_while(move |(workload, _)| workload.namespace == namespace)
        .map(|(_, grant)| grant)
        .filter(move |grant| grant.identity == id.as_str())
}

fn hash(secret: &[u8; 32]) -> Vec<u8> {
    digest(&SHA256, secret).as_ref().to_vec()
}

const DAY: u64 = 24 * 60 * 60;
const DEFAULT_LIFETIME: Duration = Duration::from_secs(DAY);
const MAX_LIFETIME: Duration = Duration::from_secs(30 * DAY);
/// So long an expired token is told from one that never was.
const TOKEN_MEMORY: Duration = Duration::from_secs(DAY);
const GRANT_MEMORY: Duration = Duration::from_secs(7 * DAY);
const MAX_USES: u32 = 10_000;
const MAX_TOKENS: usize = 10_000;
const MAX_GRANTS: usize = 100_000;
/// The longest name of a service account, as Kubernetes has it.
const MAX_SERVICE_ACCOUNT: usize = 253;
/// With names of their greatest length an entry of so many grants is still no larger than a record may be.
const MAX_AT_ONCE: usize = 64;

#[cfg(test)]
mod tests;
