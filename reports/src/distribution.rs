//! A distribution of times in nanoseconds, as an HDR histogram that travels as text.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer, V2DeflateSerializer, V2Serializer};
use serde::{Deserialize, Serialize, de, ser};
use std::fmt;

/// Times in nanoseconds, 1 ns to 1 h, three significant digits. As JSON it is the base64 of
/// HdrHistogram's compressed V2 encoding, which HdrHistogram's own tools read.
#[derive(Debug, Clone)]
pub struct Distribution(pub Histogram<u64>);

/// Longest recordable time: one hour, in nanoseconds. Longer ones saturate.
pub const LONGEST_NS: u64 = 3_600_000_000_000;

impl Default for Distribution {
    fn default() -> Self {
        Self(Histogram::new_with_bounds(1, LONGEST_NS, 3).expect("the bounds are valid"))
    }
}

impl Distribution {
    pub fn record(&mut self, nanoseconds: u64) {
        self.0.saturating_record(nanoseconds);
    }

    /// Adds every recorded time of `other`: exact, bin by bin.
    pub fn merge(&mut self, other: &Distribution) {
        self.0.add(&other.0).expect("all distributions have the same bounds");
    }

    /// Quantile `q` (0 to 1) in microseconds; `None` where nothing was recorded.
    pub fn quantile_us(&self, q: f64) -> Option<f64> {
        (!self.0.is_empty()).then(|| self.0.value_at_quantile(q) as f64 / 1_000.0)
    }

    /// The same among all requests, `lost` of which have no time and count as slowest; `None` if it is one of those.
    pub fn quantile_of_all_us(&self, q: f64, lost: u64) -> Option<f64> {
        let among_timed = q * (self.count() + lost) as f64 / self.count() as f64;
        self.quantile_us(among_timed).filter(|_| among_timed <= 1.0)
    }

    pub fn count(&self) -> u64 {
        self.0.len()
    }
}

impl Serialize for Distribution {
    fn serialize<S: ser::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut bytes = Vec::new();
        // Trimmed: what is read is, and one that was read must be written as it was.
        V2DeflateSerializer::new().serialize(&trimmed(&self.0), &mut bytes).map_err(ser::Error::custom)?;
        serializer.serialize_str(&STANDARD.encode(bytes))
    }
}

impl<'de> Deserialize<'de> for Distribution {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = STANDARD.decode(text).map_err(de::Error::custom)?;
        let whole = Deserializer::new().deserialize(&mut bytes.as_slice()).map_err(de::Error::custom)?;
        Ok(Self(trimmed(&whole)))
    }
}

/// A distribution without its empty bins, in some hundred bytes instead of a quarter of a megabyte: a run holds one
/// a slice, and an hour has thousands. As JSON it is what the distribution is.
#[derive(Clone, Default, PartialEq)]
pub struct Packed {
    /// HdrHistogram's V2 encoding; empty where nothing was recorded.
    bytes: Box<[u8]>,
    count: u64,
}

impl Packed {
    pub fn of(distribution: &Distribution) -> Self {
        if distribution.count() == 0 {
            return Self::default();
        }
        let mut bytes = Vec::new();
        // Trimmed first: equal counts then have equal bytes, however far their histograms could count.
        let trimmed = trimmed(&distribution.0);
        V2Serializer::new().serialize(&trimmed, &mut bytes).expect("memory takes all that is written");
        Self { bytes: bytes.into(), count: distribution.count() }
    }

    pub fn unpack(&self) -> Distribution {
        if self.bytes.is_empty() {
            return Distribution::default();
        }
        let mut bytes = &*self.bytes;
        let mut histogram: Histogram<u64> =
            Deserializer::new().deserialize(&mut bytes).expect("as it was written");
        histogram.auto(true);
        Distribution(histogram)
    }

    pub fn count(&self) -> u64 {
        self.count
    }

    /// What it takes in memory.
    pub fn size(&self) -> usize {
        size_of::<Self>() + self.bytes.len()
    }
}

/// Of times in nanoseconds.
impl FromIterator<u64> for Packed {
    fn from_iter<I: IntoIterator<Item = u64>>(times: I) -> Self {
        let mut distribution = Distribution::default();
        times.into_iter().for_each(|time| distribution.record(time));
        Self::of(&distribution)
    }
}

impl fmt::Debug for Packed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Packed({} times in {} bytes)", self.count, self.bytes.len())
    }
}

impl Serialize for Packed {
    fn serialize<S: ser::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.unpack().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Packed {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::of(&Distribution::deserialize(deserializer)?))
    }
}

/// Equal where the same times were recorded, however far each could count.
impl PartialEq for Distribution {
    fn eq(&self, other: &Self) -> bool {
        // hdrhistogram's own comparison wants the shorter one first.
        match self.0.distinct_values() <= other.0.distinct_values() {
            true => self.0 == other.0,
            false => other.0 == self.0,
        }
    }
}

/// The same counts with room for the longest time that there is: bounds of an hour take a quarter of a
/// megabyte, and a run that is read holds one a second. It grows again where longer times are merged in.
fn trimmed(whole: &Histogram<u64>) -> Histogram<u64> {
    let mut trimmed = Histogram::new_with_bounds(1, whole.max().max(2), 3).expect("the bounds are valid");
    trimmed.auto(true);
    trimmed.add(whole).expect("it grows");
    trimmed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn travels_as_text_without_loss() {
        let mut distribution = Distribution::default();
        for time in [1, 999, 1_000_000, LONGEST_NS, LONGEST_NS * 2] {
            distribution.record(time);
        }
        let text = serde_json::to_string(&distribution).unwrap();
        assert_eq!(serde_json::from_str::<Distribution>(&text).unwrap(), distribution);
    }

    #[test]
    fn what_was_read_is_small_and_grows_again() {
        let mut short = Distribution::default();
        short.record(1_000_000);
        let mut read: Distribution = serde_json::from_str(&serde_json::to_string(&short).unwrap()).unwrap();
        assert!(read.0.distinct_values() < short.0.distinct_values() / 2);
        assert_eq!((&read, &short), (&short, &read), "equal both ways");
        let mut long = Distribution::default();
        long.record(LONGEST_NS);
        read.merge(&long);
        short.merge(&long);
        assert_eq!(read, short);
    }

    #[test]
    fn what_is_packed_comes_back_and_is_small() {
        let mut distribution = Distribution::default();
        assert_eq!(Packed::of(&distribution).unpack(), distribution);
        let times = (1..2_000).map(|n| 50_000 + n * n);
        times.clone().for_each(|time| distribution.record(time));
        let packed: Packed = times.collect();
        assert_eq!((packed.unpack(), packed.count()), (distribution.clone(), 1_999));
        assert!(packed.size() < 4_000, "{packed:?}");
        let text = serde_json::to_string(&distribution).unwrap();
        assert_eq!(serde_json::from_str::<Packed>(&text).unwrap(), packed);
        let text = serde_json::to_string(&packed).unwrap();
        assert_eq!(serde_json::from_str::<Distribution>(&text).unwrap(), distribution);
        let mut grown = packed.unpack();
        grown.merge(&Packed::of(&Distribution::default()).unpack());
        assert_eq!(grown, distribution);
    }

    #[test]
    fn merging_equals_recording_in_one() {
        let (mut a, mut b, mut both) =
            (Distribution::default(), Distribution::default(), Distribution::default());
        for time in 1..10_000u64 {
            if time % 3 == 0 { &mut a } else { &mut b }.record(time * 977);
            both.record(time * 977);
        }
        a.merge(&b);
        assert_eq!(a, both);
    }
}
