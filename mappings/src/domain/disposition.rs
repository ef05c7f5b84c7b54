//! How a job ended, and what is known of it before that.

macro_rules! words {
    ($(#[$doc:meta])* $name:ident, $kind:literal, { $($(#[$vdoc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$vdoc])* $variant,)+ }

        impl $name {
            /// Every value, in the order of the vocabulary.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The word used in documents, messages and the ledger.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = crate::domain::InvalidId;
            fn from_str(text: &str) -> Result<Self, crate::domain::InvalidId> {
                Self::ALL.iter().copied().find(|w| w.as_str() == text).ok_or_else(|| crate::domain::InvalidId {
                    kind: $kind,
                    found: text.chars().take(80).collect(),
                    expected: concat!("one of" $(, " ", $word)+),
                })
            }
        }
    };
}
pub(crate) use words;

words!(
    /// How a job ended.
    Disposition, "disposition", {
        /// The work was done.
        Completed = "completed",
        /// The visit was made, and more work follows.
        FollowOn = "follow_on",
        /// Nobody could get in.
        NoAccess = "no_access",
        /// The system will not do the work, and says why.
        Declined = "declined",
        /// The work belongs to somebody else.
        NotOurs = "not_ours",
        /// The work was already ordered.
        Duplicate = "duplicate",
        /// The work was called off.
        Cancelled = "cancelled",
    }
);

words!(
    /// How far a job has come while it is not ended.
    Progress, "progress", {
        /// The system has it and nothing has happened yet.
        Received = "received",
        /// A time has been set.
        Scheduled = "scheduled",
        /// Somebody is working on it.
        InProgress = "in_progress",
        /// It waits for something: material, approval, the customer.
        Waiting = "waiting",
        /// It waits for the customer: access, an answer, a choice.
        WaitingForCustomer = "waiting_for_customer",
        /// A person in the back office reviews it.
        Review = "review",
    }
);
