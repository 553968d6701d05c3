//! Durations as people write them: a number and a unit, `"2s"`, `"150ms"`, `"1m 30s"`.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serializer, de};

/// Reads a duration with its unit.
///
/// # Errors
/// A text that names what is wrong, for a person.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|error| format!("{text:?} is not a duration such as \"2s\" or \"150ms\": {error}"))
}

/// Reads durations that are at least this long.
pub fn duration_from(least: Duration) -> impl Fn(&str) -> Result<Duration, String> + Clone {
    move |text| match parse_duration(text) {
        Ok(duration) if duration < least => {
            Err(format!("must be at least {}", format_duration(least)))
        }
        read => read,
    }
}

/// Writes a duration the way `parse_duration` reads it.
pub fn format_duration(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

/// For `#[serde(with = "crate::duration::text")]`.
pub(crate) mod text {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(
        value: &Duration,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format_duration(*value))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Duration, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse_duration(&text).map_err(de::Error::custom)
    }
}

/// For `#[serde(with = "crate::duration::optional_text")]`.
pub(crate) mod optional_text {
    use super::*;

    // The shape that serde asks for.
    #[allow(clippy::ref_option, reason = "serde passes a reference to the field")]
    pub(crate) fn serialize<S: Serializer>(
        value: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => text::serialize(value, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        let read = text.map(|text| parse_duration(&text).map_err(de::Error::custom));
        read.transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_that_is_too_short_is_told_the_shortest() {
        let read = duration_from(Duration::from_millis(10));
        assert_eq!(read("10ms"), Ok(Duration::from_millis(10)));
        for short in ["0s", "9ms", "1ns"] {
            assert_eq!(read(short), Err("must be at least 10ms".into()));
        }
        assert!(read("long").expect_err("no duration").contains("\"2s\""));
    }
}
