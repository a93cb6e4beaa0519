//! Rust text with comments and literals blanked, so that a rule about code does not trip over
//! prose. Line numbers stay. This is a scanner, not a parser: it knows nested block comments,
//! strings, raw strings, byte strings, characters and lifetimes, and nothing else.

/// The code of a Rust file; every blanked character but the newline becomes a space.
pub fn only(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut before = ' ';
    while let Some(first) = rest.chars().next() {
        let blank = blank_length(rest, before);
        let (piece, after) = rest.split_at(blank.unwrap_or(first.len_utf8()));
        match blank {
            Some(_) => out.extend(piece.chars().map(|c| if c == '\n' { '\n' } else { ' ' })),
            None => out.push_str(piece),
        }
        before = if blank.is_some() { ' ' } else { first };
        rest = after;
    }
    out
}

/// Bytes to blank at the start of `rest`, or None when it starts with code.
fn blank_length(rest: &str, before: char) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return Some(block_comment(rest));
    }
    if rest.starts_with('"') {
        return Some(string(rest, 1));
    }
    if rest.starts_with('\'') {
        return character(rest);
    }
    if before.is_alphanumeric() || before == '_' {
        return None;
    }
    for prefix in ["b\"", "c\""] {
        if rest.starts_with(prefix) {
            return Some(string(rest, prefix.len()));
        }
    }
    ["r", "br", "cr"]
        .iter()
        .find_map(|prefix| raw_string(rest, prefix))
}

fn block_comment(rest: &str) -> usize {
    let bytes = rest.as_bytes();
    let mut depth = 0usize;
    let mut at = 0;
    while at + 1 < bytes.len() {
        match &bytes[at..at + 2] {
            b"/*" => {
                depth += 1;
                at += 2;
            }
            b"*/" => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    rest.len()
}

fn string(rest: &str, open: usize) -> usize {
    let bytes = rest.as_bytes();
    let mut at = open;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

fn raw_string(rest: &str, prefix: &str) -> Option<usize> {
    let body = rest.strip_prefix(prefix)?;
    let hashes = body.bytes().take_while(|b| *b == b'#').count();
    let inner = body[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let open = prefix.len() + hashes + 1;
    Some(
        inner
            .find(&end)
            .map_or(rest.len(), |at| open + at + end.len()),
    )
}

/// A character literal's length; None for a lifetime.
fn character(rest: &str) -> Option<usize> {
    let mut chars = rest.char_indices().skip(1);
    let (_, first) = chars.next()?;
    if first == '\\' {
        let close = rest[3..].find('\'')?;
        return Some(3 + close + 1);
    }
    let (at, second) = chars.next()?;
    (second == '\'').then_some(at + 1)
}
