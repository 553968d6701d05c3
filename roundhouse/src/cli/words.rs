//! The words by which the model knows the values of a setting, as flags take them and tables show them.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// A setting's value as the API writes it.
pub(super) fn word(value: &impl Serialize) -> String {
    let word = serde_json::to_value(value).ok();
    let word = word.as_ref().and_then(Value::as_str);
    word.expect("such a setting is written as a word")
        .to_owned()
}

/// Takes the words by which the model knows these values of a setting.
pub(super) fn one_of<T>(values: &'static [T]) -> impl TypedValueParser<Value = T>
where
    T: Serialize + DeserializeOwned + Clone + Send + Sync + 'static,
{
    PossibleValuesParser::new(values.iter().map(word))
        .map(|word| read(&word).expect("it is one of the model's words"))
}

/// The value that a word stands for.
pub(super) fn read<T: DeserializeOwned>(word: &str) -> Option<T> {
    serde_json::from_value(word.into()).ok()
}
