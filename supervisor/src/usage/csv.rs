//! Comma-separated values that a spreadsheet shows and never runs.

/// One line. A cell that a spreadsheet would take for a formula gets an apostrophe in front; quotes where needed.
pub fn line<'a>(cells: impl IntoIterator<Item = &'a str>) -> String {
    let cells: Vec<String> = cells.into_iter().map(cell).collect();
    cells.join(",") + "\r\n"
}

fn cell(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']);
    let guard = if formula { "'" } else { "" };
    if text.contains([',', '"', '\r', '\n', ';', '\t']) {
        format!("\"{guard}{}\"", text.replace('"', "\"\""))
    } else {
        format!("{guard}{text}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formulas_become_text() {
        assert_eq!(
            line([
                "=1+1",
                "+1",
                "-1",
                "@x",
                "\tx",
                "a,b",
                "say \"hi\"",
                "=a,b",
                "plain 1"
            ]),
            "'=1+1,'+1,'-1,'@x,\"'\tx\",\"a,b\",\"say \"\"hi\"\"\",\"'=a,b\",plain 1\r\n"
        );
    }
}
