//! Which Service a name or an address leads to. Many Services may claim one bare name (`api`), each for its own
//! namespace; of two that claim the same for the same namespace, the first by name has it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::render::Ways;
use super::table::{Forms, Id, Table};

/// Every claim of every Service.
#[derive(Clone, Debug, Default)]
pub(super) struct Aliases {
    /// By Service, what it claims.
    claimed: HashMap<Id, Ways>,
    /// By alias and client namespace, who claims it.
    claims: HashMap<Id, BTreeMap<Option<Arc<str>>, BTreeSet<Id>>>,
}

impl Aliases {
    /// Puts a Service's claims in place of its earlier ones, and the table in step. Returns the aliases that lead
    /// elsewhere now.
    pub(super) fn follow(&mut self, service: &Id, ways: Ways, table: &mut Table) -> BTreeSet<Id> {
        let ways = distinct(ways);
        let before = self.claimed.remove(service).unwrap_or_default();
        let mut concerned = BTreeSet::new();
        for (class, aliases) in &before {
            for alias in aliases {
                concerned.insert(alias.clone());
                let Some(classes) = self.claims.get_mut(alias) else { continue };
                if let Some(services) = classes.get_mut(class) {
                    services.remove(service);
                }
                classes.retain(|_, services| !services.is_empty());
            }
        }
        for (class, aliases) in &ways {
            for alias in aliases {
                concerned.insert(alias.clone());
                let classes = self.claims.entry(alias.clone()).or_default();
                classes.entry(class.clone()).or_default().insert(service.clone());
            }
        }
        if !ways.is_empty() {
            self.claimed.insert(service.clone(), ways);
        }
        concerned.retain(|alias| table.set_alias(alias, self.forms(alias)));
        concerned
    }

    fn forms(&mut self, alias: &Id) -> Forms<Id> {
        let mut forms = Forms::default();
        for (class, services) in self.claims.get(alias).into_iter().flatten() {
            let Some(first) = services.first().cloned() else { continue };
            match class {
                None => forms.common = Some(first),
                Some(namespace) => {
                    forms.special.insert(Arc::clone(namespace), first);
                }
            }
        }
        if forms.is_empty() {
            self.claims.remove(alias);
        }
        forms
    }
}

/// What everybody sees is not claimed once more for a namespace.
fn distinct(mut ways: Ways) -> Ways {
    let common = ways.get(&None).cloned().unwrap_or_default();
    for (class, aliases) in &mut ways {
        if class.is_some() {
            aliases.retain(|alias| !common.contains(alias));
        }
    }
    ways
}
