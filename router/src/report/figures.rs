//! What reports are made of: counts, and how long things took.

use std::collections::BTreeMap;
use std::str::FromStr;

use serde_json::{Map, Value, json};

use super::Histogram;

macro_rules! named {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$vdoc])* $variant,)+ }

        impl $name {
            /// Every value, in the order of reports.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// Its word in the ledger and in reports for programs.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }

        impl FromStr for $name {
            type Err = Unreadable;
            fn from_str(text: &str) -> Result<Self, Unreadable> {
                Self::ALL.iter().copied().find(|word| word.as_str() == text).ok_or(Unreadable)
            }
        }
    };
}

/// Stored figures are not of their form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not figures of a report")]
pub struct Unreadable;

named!(
    /// By what requests are put together.
    By {
        /// All of a council.
        All = "all",
        /// What was asked for.
        Service = "service",
        /// Each system that had a part in it.
        System = "system",
        /// The way it came in.
        Channel = "channel",
    }
);

named!(
    /// What is counted of requests.
    Count {
        /// Came in.
        CameIn = "came_in",
        /// Closed.
        Closed = "closed",
        /// Closed without a person's decision.
        Automatically = "closed_automatically",
        /// Waited for a person at some time: held, or a piece of work of it was parked.
        Held = "held",
        /// Declined by whoever should have done it.
        Declined = "declined",
        /// Told to a senior owner.
        Escalated = "escalated",
        /// Told to be overdue.
        Overdue = "overdue",
        /// Closed within what was promised.
        InTime = "in_time",
        /// Closed later than promised, or open and past it.
        Late = "late",
        /// Open, in its first 7 days.
        OpenDays = "open_0_to_7_days",
        /// Open from the 8th to the 30th day.
        OpenWeeks = "open_8_to_30_days",
        /// Open from the 31st to the 60th day.
        OpenMonths = "open_31_to_60_days",
        /// Open for more than 60 days.
        OpenLonger = "open_over_60_days",
    }
);

named!(
    /// What is measured of requests.
    Time {
        /// From the customer's call until the ledger had it.
        Accept = "to_accept",
        /// From the call until a system had the job.
        HandOver = "to_hand_over",
        /// From the call until a system first told how the work goes.
        FirstNews = "to_first_news",
        /// From the call until the ticket closed; of one system, until its part ended.
        Close = "to_close",
        /// Waited from being accepted until the system had the job.
        WaitedToBeTaken = "waited_to_be_taken",
        /// Waited while the system had the job.
        WaitedForWork = "waited_for_work",
        /// Waited for a person to decide.
        WaitedForPerson = "waited_for_a_person",
    }
);

/// Counts and times of some requests.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Figures {
    counts: BTreeMap<Count, u64>,
    times: BTreeMap<Time, Histogram>,
}

impl Figures {
    /// Counts one, where it is so.
    pub fn count_if(&mut self, count: Count, is_so: bool) {
        if is_so {
            *self.counts.entry(count).or_default() += 1;
        }
    }

    /// Adds one time in milliseconds.
    pub fn add(&mut self, time: Time, ms: i64) {
        self.times.entry(time).or_default().add(ms);
    }

    /// Adds what others have.
    pub fn merge(&mut self, other: &Self) {
        for (count, number) in &other.counts {
            *self.counts.entry(*count).or_default() += number;
        }
        for (time, histogram) in &other.times {
            self.times.entry(*time).or_default().merge(histogram);
        }
    }

    /// How many.
    pub fn of(&self, count: Count) -> u64 {
        self.counts.get(&count).copied().unwrap_or(0)
    }

    /// How long, where there are any.
    pub fn times(&self, time: Time) -> Option<&Histogram> {
        self.times.get(&time)
    }

    /// As they are stored.
    pub fn to_json(&self) -> Value {
        let counts: Map<String, Value> =
            self.counts.iter().map(|(count, number)| (count.as_str().to_owned(), json!(number))).collect();
        let times: Map<String, Value> =
            self.times.iter().map(|(time, times)| (time.as_str().to_owned(), times.to_json())).collect();
        json!({"counts": counts, "times": times})
    }
}

impl FromStr for Figures {
    type Err = Unreadable;

    fn from_str(text: &str) -> Result<Self, Unreadable> {
        let value: Value = serde_json::from_str(text).map_err(|_| Unreadable)?;
        let members = |name: &str| value.get(name).and_then(Value::as_object).ok_or(Unreadable);
        let counts = members("counts")?
            .iter()
            .map(|(name, number)| Ok((name.parse()?, number.as_u64().ok_or(Unreadable)?)));
        let times = members("times")?
            .iter()
            .map(|(name, times)| Ok((name.parse()?, Histogram::from_json(times).ok_or(Unreadable)?)));
        Ok(Self { counts: counts.collect::<Result<_, _>>()?, times: times.collect::<Result<_, _>>()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read_as_they_were_stored_and_what_is_none_is_refused() {
        let mut figures = Figures::default();
        figures.count_if(Count::Closed, true);
        figures.count_if(Count::Held, false);
        figures.add(Time::Close, 7_200_000);
        let mut twice = figures.to_json().to_string().parse::<Figures>().expect("figures");
        assert_eq!(twice, figures);
        twice.merge(&figures);
        assert_eq!((twice.of(Count::Closed), twice.of(Count::Held)), (2, 0));
        assert_eq!(twice.times(Time::Close).map(Histogram::count), Some(2));
        for text in
            ["", "{}", "{\"counts\":{\"lost\":1},\"times\":{}}", "{\"counts\":{},\"times\":{\"to_close\":1}}"]
        {
            assert_eq!(text.parse::<Figures>(), Err(Unreadable), "{text}");
        }
    }
}
