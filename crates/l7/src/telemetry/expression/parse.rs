//! From words to an expression, by recursive descent: what binds weakest comes first.

use std::borrow::Cow;
use std::iter::Peekable;
use std::vec::IntoIter;

use http::HeaderName;

use super::token::{Token, tokens};
use super::{ATTRIBUTES, Comparison, Conversion, ExpressionError, MAX_DEPTH, MAX_LENGTH, Node, TextTest};
use crate::Regex;
use crate::telemetry::{Attribute, Value};

pub(super) fn parse(source: &str) -> Result<Node, ExpressionError> {
    if source.trim().is_empty() {
        return Err(ExpressionError::Empty);
    }
    if source.len() > MAX_LENGTH {
        return Err(ExpressionError::TooLong);
    }
    let mut parser = Parser { rest: tokens(source)?.into_iter().peekable(), depth: 0 };
    let root = parser.expression()?;
    match parser.rest.next() {
        None => Ok(root),
        Some(token) => Err(expected("the end or an operator", Some(token))),
    }
}

struct Parser {
    rest: Peekable<IntoIter<Token>>,
    depth: usize,
}

type Parsed = Result<Node, ExpressionError>;

impl Parser {
    /// `a ? b : c`
    fn expression(&mut self) -> Parsed {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(ExpressionError::TooDeep);
        }
        let condition = self.or()?;
        let node = if self.takes("?") {
            let then = self.expression()?;
            self.needs(":")?;
            Node::Choose(Box::new(condition), Box::new(then), Box::new(self.expression()?))
        } else {
            condition
        };
        self.depth -= 1;
        Ok(node)
    }

    fn or(&mut self) -> Parsed {
        let mut terms = vec![self.and()?];
        while self.takes("||") {
            terms.push(self.and()?);
        }
        balanced(terms, Node::Or)
    }

    fn and(&mut self) -> Parsed {
        let mut terms = vec![self.comparison()?];
        while self.takes("&&") {
            terms.push(self.comparison()?);
        }
        balanced(terms, Node::And)
    }

    fn comparison(&mut self) -> Parsed {
        let left = self.sum()?;
        for (sign, comparison) in [
            ("==", Comparison::Equal),
            ("!=", Comparison::NotEqual),
            ("<=", Comparison::LessOrEqual),
            (">=", Comparison::GreaterOrEqual),
            ("<", Comparison::Less),
            (">", Comparison::Greater),
        ] {
            if self.takes(sign) {
                return Ok(Node::Compare(comparison, Box::new(left), Box::new(self.sum()?)));
            }
        }
        if self.rest.next_if_eq(&Token::Name("in".to_owned())).is_some() {
            return self.within(left);
        }
        Ok(left)
    }

    /// After `in`: a list, or headers.
    fn within(&mut self, left: Node) -> Parsed {
        if self.takes("[") {
            return Ok(Node::In(Box::new(left), self.list("]")?));
        }
        let Node::Literal(Value::Text(name)) = left else {
            return Err(expected("a list in brackets", self.rest.next()));
        };
        let path = self.path()?;
        Ok(Node::Has(headers(&path).ok_or(ExpressionError::Attribute(path))?(header_name(&name)?)))
    }

    fn sum(&mut self) -> Parsed {
        let mut terms = vec![self.unary()?];
        while self.takes("+") {
            terms.push(self.unary()?);
        }
        balanced(terms, Node::Add)
    }

    fn unary(&mut self) -> Parsed {
        if self.takes("!") {
            self.depth += 1;
            if self.depth > MAX_DEPTH {
                return Err(ExpressionError::TooDeep);
            }
            let node = Node::Not(Box::new(self.unary()?));
            self.depth -= 1;
            return Ok(node);
        }
        if self.takes("-") {
            return match self.rest.next() {
                Some(Token::Number(number)) => Ok(Node::Literal(Value::Number(-number))),
                other => Err(expected("a number", other)),
            };
        }
        let mut node = self.primary()?;
        let mut calls = 0;
        while self.takes(".") {
            calls += 1;
            if calls > MAX_DEPTH {
                return Err(ExpressionError::TooDeep);
            }
            let name = self.name()?;
            node = self.method(node, &name)?;
        }
        Ok(node)
    }

    /// `a.name(…)`
    fn method(&mut self, of: Node, name: &str) -> Parsed {
        self.needs("(")?;
        let mut arguments = self.list(")")?.into_iter();
        let (of, argument, more) = (Box::new(of), arguments.next(), arguments.next());
        let test = |test| move |of, argument| Node::Test(test, of, Box::new(argument));
        Ok(match (name, argument, more) {
            ("startsWith", Some(argument), None) => test(TextTest::StartsWith)(of, argument),
            ("endsWith", Some(argument), None) => test(TextTest::EndsWith)(of, argument),
            ("contains", Some(argument), None) => test(TextTest::Contains)(of, argument),
            ("matches", Some(Node::Literal(Value::Text(regex))), None) => Node::Matches(of, Regex::new(&regex)?),
            ("lowerAscii", None, None) => Node::Convert(Conversion::Lower, of),
            ("size", None, None) => Node::Convert(Conversion::Size, of),
            (name, ..) => return Err(ExpressionError::Function(name.to_owned())),
        })
    }

    fn primary(&mut self) -> Parsed {
        match self.rest.next() {
            Some(Token::Text(text)) => Ok(Node::Literal(Value::Text(Cow::Owned(text)))),
            Some(Token::Number(number)) => Ok(Node::Literal(Value::Number(number))),
            Some(Token::Sign("(")) => {
                let node = self.expression()?;
                self.needs(")")?;
                Ok(node)
            }
            Some(Token::Name(name)) => match name.as_str() {
                "true" => Ok(Node::Literal(Value::Bool(true))),
                "false" => Ok(Node::Literal(Value::Bool(false))),
                _ if self.takes("(") => self.function(&name),
                _ => Ok(Node::Attribute(self.attribute(name)?)),
            },
            other => Err(expected("a value", other)),
        }
    }

    /// `name(…)`, after its parenthesis.
    fn function(&mut self, name: &str) -> Parsed {
        let mut arguments = self.list(")")?.into_iter();
        Ok(match (name, arguments.next(), arguments.next()) {
            ("has", Some(Node::Attribute(attribute)), None) => Node::Has(attribute),
            ("string", Some(of), None) => Node::Convert(Conversion::Text, Box::new(of)),
            ("int", Some(of), None) => Node::Convert(Conversion::Number, Box::new(of)),
            ("size", Some(of), None) => Node::Convert(Conversion::Size, Box::new(of)),
            (name, ..) => return Err(ExpressionError::Function(name.to_owned())),
        })
    }

    /// An attribute whose first word has been read: `request.method`, `request.headers['a']`.
    fn attribute(&mut self, first: String) -> Result<Attribute, ExpressionError> {
        let path = if self.takes(".") { format!("{first}.{}", self.name()?) } else { first };
        if let Some(of) = headers(&path) {
            return Ok(of(header_name(&self.key()?)?));
        }
        let known = ATTRIBUTES.iter().find(|(name, _)| *name == path);
        known.map(|(_, known)| known.clone()).ok_or(ExpressionError::Attribute(path))
    }

    /// `['a']` or `.a`
    fn key(&mut self) -> Result<String, ExpressionError> {
        if self.takes(".") {
            return self.name();
        }
        self.needs("[")?;
        match self.rest.next() {
            Some(Token::Text(text)) => self.needs("]").map(|()| text),
            other => Err(expected("the name of a header in quotes", other)),
        }
    }

    /// Names with dots between.
    fn path(&mut self) -> Result<String, ExpressionError> {
        let mut path = self.name()?;
        while self.takes(".") {
            path = format!("{path}.{}", self.name()?);
        }
        Ok(path)
    }

    /// Expressions up to a closing sign.
    fn list(&mut self, end: &'static str) -> Result<Vec<Node>, ExpressionError> {
        let mut all = Vec::new();
        if self.takes(end) {
            return Ok(all);
        }
        loop {
            all.push(self.expression()?);
            if self.takes(end) {
                return Ok(all);
            }
            self.needs(",")?;
        }
    }

    fn name(&mut self) -> Result<String, ExpressionError> {
        match self.rest.next() {
            Some(Token::Name(name)) => Ok(name),
            other => Err(expected("a name", other)),
        }
    }

    fn takes(&mut self, sign: &'static str) -> bool {
        self.rest.next_if_eq(&Token::Sign(sign)).is_some()
    }

    fn needs(&mut self, sign: &'static str) -> Result<(), ExpressionError> {
        if self.takes(sign) { Ok(()) } else { Err(expected(sign, self.rest.next())) }
    }
}

/// Terms of one operator as a tree that is as flat as can be: hundreds of them are no deep nesting.
fn balanced(mut terms: Vec<Node>, join: fn(Box<Node>, Box<Node>) -> Node) -> Parsed {
    while terms.len() > 1 {
        let mut pairs = Vec::with_capacity(terms.len().div_ceil(2));
        let mut rest = terms.into_iter();
        while let Some(left) = rest.next() {
            pairs.push(match rest.next() {
                Some(right) => join(Box::new(left), Box::new(right)),
                None => left,
            });
        }
        terms = pairs;
    }
    terms.pop().ok_or(ExpressionError::Empty)
}

fn headers(path: &str) -> Option<fn(HeaderName) -> Attribute> {
    match path {
        "request.headers" => Some(Attribute::RequestHeader),
        "response.headers" => Some(Attribute::ResponseHeader),
        "response.trailers" => Some(Attribute::ResponseTrailer),
        _ => None,
    }
}

fn header_name(name: &str) -> Result<HeaderName, ExpressionError> {
    HeaderName::from_bytes(name.as_bytes()).map_err(|_| ExpressionError::Header(name.to_owned()))
}

fn expected(expected: &'static str, found: Option<Token>) -> ExpressionError {
    let found = match found {
        Some(Token::Name(text) | Token::Text(text)) => text,
        Some(Token::Number(number)) => number.to_string(),
        Some(Token::Sign(sign)) => sign.to_owned(),
        None => "the end".to_owned(),
    };
    ExpressionError::Expected { expected, found }
}
