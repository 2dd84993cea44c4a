//! The forms in which usage is given away.

use std::io::{self, Write};

use anyhow::Context;
use indicatif::HumanCount;
use serde_json::{Map, Value, json};

use super::Usage;
use crate::args::UsageFormat;
use crate::replay::shown;
use crate::replay::summary::{align_right, plain_table};

/// Writes usage to standard output. JSON is of the one quota that there are rows of.
pub(super) fn write(usage: &Usage<'_>, format: UsageFormat) -> anyhow::Result<()> {
    let text = match format {
        UsageFormat::Table => table(usage).into_bytes(),
        UsageFormat::Csv => csv(usage)?,
        UsageFormat::Json => format!("{}\n", json(usage)).into_bytes(),
    };
    match io::stdout().lock().write_all(&text) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error).context("standard output"),
        _ => Ok(()),
    }
}

fn table(usage: &Usage<'_>) -> String {
    let mut table = plain_table();
    table.set_header(["subject", "limit", "date", "used", "remaining", "refused"]);
    for used in &usage.subjects {
        for row in &used.rows {
            let [used_up, remaining, refused] =
                [row.used(), row.remaining(), row.refused()].map(|count| HumanCount(count).to_string());
            let (subject, limit, date) =
                (used.name.to_owned(), row.limit().to_owned(), row.date().to_string());
            table.add_row([subject, limit, date, used_up, remaining, refused]);
        }
    }
    align_right(&mut table, 3..6);
    let Usage { plan, from, to, at, .. } = usage;
    format!("{plan}: {from} to {to}, as it was at {} UTC\n{table}\n", shown(*at))
}

/// RFC 4180, but for line ends, which are those of Unix.
fn csv(usage: &Usage<'_>) -> anyhow::Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(["subject", "plan", "limit", "date", "used", "remaining", "refused"])?;
    for used in &usage.subjects {
        for row in &used.rows {
            let date = row.date().to_string();
            writer.serialize((
                used.name,
                usage.plan,
                row.limit(),
                date,
                row.used(),
                row.remaining(),
                row.refused(),
            ))?;
        }
    }
    Ok(writer.into_inner()?)
}

/// As API Gateway answers `GetUsage`.
fn json(usage: &Usage<'_>) -> Value {
    let mut items = Map::new();
    for used in &usage.subjects {
        let days: Value = used.rows.iter().map(|row| json!([row.used(), row.remaining()])).collect();
        for key in &used.keys {
            items.insert((*key).to_owned(), days.clone());
        }
    }
    json!({
        "usagePlanId": usage.plan,
        "startDate": usage.from.to_string(),
        "endDate": usage.to.to_string(),
        "items": items,
    })
}
