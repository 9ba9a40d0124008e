//! What `groundwork doctor --load --json` says of one feature.

use serde_json::Value;

use crate::{loader::Loader, report::Section};

/// What it says of the feature that was asked for.
#[derive(Debug)]
pub(crate) struct Said {
    /// `loaded`, `unknown`, `missing`, ...
    pub(crate) state: String,
    /// The loaders that were tried, in order.
    pub(crate) tried: Vec<Loader>,
    /// The one that did it.
    pub(crate) by: Option<Loader>,
    /// The causes, as they came.
    pub(crate) causes: String,
}

impl Said {
    /// Reads the report of a run that was about `feature` alone.
    ///
    /// # Errors
    /// When it is not what was agreed.
    pub(crate) fn read(run: &Section, feature: &str) -> Result<Self, String> {
        let document: Value = serde_json::from_str(&run.stdout).map_err(|e| format!("{e}: {run:#?}"))?;
        let features = document["features"].as_array().map(Vec::as_slice);
        let Some([said]) = features else { return Err(format!("not one feature: {run:#?}")) };
        if said["name"] != feature {
            return Err(format!("it speaks of {}, not of {feature}", said["name"]));
        }
        let loader = |name: &Value| Loader::named(name.as_str().unwrap_or_default());
        let attempts = said["attempts"].as_array().map(Vec::as_slice).unwrap_or_default();
        let mut tried = attempts.iter().map(|attempt| loader(&attempt["loader"])).collect::<Result<Vec<_>, _>>()?;
        tried.dedup();
        Ok(Self {
            state: said["state"].as_str().unwrap_or_default().into(),
            tried,
            by: Some(&said["loaded"]["by"]).filter(|by| !by.is_null()).map(loader).transpose()?,
            causes: said["causes"].to_string(),
        })
    }
}
