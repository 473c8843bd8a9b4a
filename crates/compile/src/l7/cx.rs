//! What the compilation of one object has at hand.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::Arc;

use ambit_l7::Regex;
use ambit_resources::Origin;

use super::at::At;
use super::virtual_service::VirtualService;
use super::{L7Options, L7Problem};
use crate::findings::Findings;

/// What the compilation of one object has at hand.
pub(crate) struct Cx<'a> {
    pub(crate) options: &'a L7Options,
    pub(crate) origin: &'a Origin,
    /// The object, as logs name it.
    pub(crate) object: Arc<str>,
    pub(crate) findings: Findings<'a>,
    expressions: &'a mut Expressions,
    /// The version of the object that is in force, where it is a VirtualService.
    pub(crate) before: Option<Arc<VirtualService>>,
}

impl<'a> Cx<'a> {
    pub(crate) fn of(origin: &'a Origin, options: &'a L7Options, expressions: &'a mut Expressions) -> Self {
        let object = origin.id.to_string().into();
        Self { options, origin, object, findings: Findings::of(origin), expressions, before: None }
    }

    /// The same for another object.
    pub(crate) fn of_other<'b>(&'b mut self, origin: &'b Origin) -> Cx<'b> {
        Cx::of(origin, self.options, self.expressions)
    }

    pub(crate) fn namespace(&self) -> &'a Arc<str> {
        &self.origin.id.namespace
    }

    pub(crate) fn error(&mut self, at: &At<'_>, problem: L7Problem) {
        self.findings.error(at.path(), problem.into());
    }

    pub(crate) fn warning(&mut self, at: &At<'_>, problem: L7Problem) {
        self.findings.warning(at.path(), problem.into());
    }

    /// By which parts of an object are known again. Nobody can foresee it.
    pub(crate) fn print_of(&self, part: &impl Hash) -> u64 {
        self.expressions.hasher.hash_one(part)
    }

    /// Where a rule comes from.
    pub(crate) fn origin_of(&self, at: &At<'_>, name: &str) -> ambit_l7::Origin {
        let field = at.to_string().into();
        ambit_l7::Origin { object: Arc::clone(&self.object), field, name: name.into() }
    }

    /// An expression; nothing for one that is none, which is said.
    pub(crate) fn regex(&mut self, expression: &str, at: &At<'_>) -> Option<Regex> {
        match self.expressions.compiled(expression) {
            Ok(regex) => Some(regex),
            Err(error) => {
                self.error(at, error.into());
                None
            }
        }
    }
}

/// Expressions compiled before. To compile one takes longer than all the rest of its rule, and of an object with
/// thousands of rules one changes at a time.
#[derive(Debug, Default)]
pub(crate) struct Expressions {
    known: HashMap<Box<str>, Regex>,
    hasher: RandomState,
}

/// More expressions than this are forgotten, all of them: they only take time to be made again.
const MAX_EXPRESSIONS: usize = 16_384;

impl Expressions {
    fn compiled(&mut self, expression: &str) -> Result<Regex, ambit_l7::RegexError> {
        if let Some(known) = self.known.get(expression) {
            return Ok(known.clone());
        }
        let regex = Regex::new(expression)?;
        if self.known.len() >= MAX_EXPRESSIONS {
            self.known.clear();
        }
        self.known.insert(expression.into(), regex.clone());
        Ok(regex)
    }
}
