//! What an expression comes to.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::{Comparison, Conversion, Node, TextTest};
use crate::telemetry::{Ended, Value};

/// There is no value: an attribute is not there, or an operator has nothing to say of such values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Undefined;

type Evaluated<'a> = Result<Value<'a>, Undefined>;

impl Node {
    pub(super) fn evaluate<'a>(&'a self, ended: &Ended<'a>) -> Evaluated<'a> {
        match self {
            Self::Literal(value) => Ok(value.clone()),
            Self::Attribute(attribute) => attribute.of(ended).ok_or(Undefined),
            Self::Has(attribute) => Ok(Value::Bool(attribute.of(ended).is_some())),
            Self::Not(of) => Ok(Value::Bool(!of.truth(ended)?)),
            Self::And(a, b) => settle(false, a, b, ended),
            Self::Or(a, b) => settle(true, a, b, ended),
            Self::Compare(how, a, b) => compare(*how, &a.evaluate(ended)?, &b.evaluate(ended)?),
            Self::In(of, list) => {
                let of = of.evaluate(ended)?;
                Ok(Value::Bool(list.iter().any(|node| node.evaluate(ended).as_ref() == Ok(&of))))
            }
            Self::Add(a, b) => add(a.evaluate(ended)?, b.evaluate(ended)?),
            Self::Choose(condition, a, b) => if condition.truth(ended)? { a } else { b }.evaluate(ended),
            Self::Test(test, of, argument) => {
                let (of, argument) = (of.text(ended)?, argument.text(ended)?);
                Ok(Value::Bool(match test {
                    TextTest::StartsWith => of.starts_with(&*argument),
                    TextTest::EndsWith => of.ends_with(&*argument),
                    TextTest::Contains => of.contains(&*argument),
                }))
            }
            Self::Matches(of, regex) => Ok(Value::Bool(regex.is_in(&of.text(ended)?))),
            Self::Convert(to, of) => convert(*to, of.evaluate(ended)?),
        }
    }

    fn truth<'a>(&'a self, ended: &Ended<'a>) -> Result<bool, Undefined> {
        match self.evaluate(ended)? {
            Value::Bool(is) => Ok(is),
            Value::Text(_) | Value::Number(_) => Err(Undefined),
        }
    }

    fn text<'a>(&'a self, ended: &Ended<'a>) -> Result<Cow<'a, str>, Undefined> {
        match self.evaluate(ended)? {
            Value::Text(text) => Ok(text),
            Value::Bool(_) | Value::Number(_) => Err(Undefined),
        }
    }
}

/// `&&` and `||`: either side may settle it, whatever is wrong with the other.
fn settle<'a>(by: bool, a: &'a Node, b: &'a Node, ended: &Ended<'a>) -> Evaluated<'a> {
    let first = a.truth(ended);
    if first == Ok(by) || b.truth(ended)? == by {
        return Ok(Value::Bool(by));
    }
    first.map(Value::Bool)
}

/// Values of different kinds are not equal, and none of them is less.
fn compare<'a>(how: Comparison, a: &Value<'_>, b: &Value<'_>) -> Evaluated<'a> {
    let order = match (a, b) {
        (Value::Text(a), Value::Text(b)) => Some(a.cmp(b)),
        (Value::Number(a), Value::Number(b)) => Some(a.cmp(b)),
        (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
        _ => None,
    };
    Ok(Value::Bool(match how {
        Comparison::Equal => order == Some(Ordering::Equal),
        Comparison::NotEqual => order != Some(Ordering::Equal),
        Comparison::Less => order.ok_or(Undefined)?.is_lt(),
        Comparison::LessOrEqual => order.ok_or(Undefined)?.is_le(),
        Comparison::Greater => order.ok_or(Undefined)?.is_gt(),
        Comparison::GreaterOrEqual => order.ok_or(Undefined)?.is_ge(),
    }))
}

fn add<'a>(a: Value<'a>, b: Value<'a>) -> Evaluated<'a> {
    match (a, b) {
        (Value::Text(a), Value::Text(b)) => Ok(Value::Text(a + b)),
        (Value::Number(a), Value::Number(b)) => a.checked_add(b).map(Value::Number).ok_or(Undefined),
        _ => Err(Undefined),
    }
}

fn convert(to: Conversion, of: Value<'_>) -> Evaluated<'_> {
    match (to, of) {
        (Conversion::Text, text @ Value::Text(_)) => Ok(text),
        (Conversion::Text, other) => Ok(Value::Text(Cow::Owned(other.to_string()))),
        (Conversion::Number, Value::Number(number)) => Ok(Value::Number(number)),
        (Conversion::Number, Value::Text(text)) => text.parse().map(Value::Number).map_err(|_| Undefined),
        (Conversion::Size, Value::Text(text)) => {
            i64::try_from(text.chars().count()).map(Value::Number).map_err(|_| Undefined)
        }
        (Conversion::Lower, Value::Text(text)) => Ok(Value::Text(Cow::Owned(text.to_ascii_lowercase()))),
        (Conversion::Number | Conversion::Size | Conversion::Lower, _) => Err(Undefined),
    }
}
