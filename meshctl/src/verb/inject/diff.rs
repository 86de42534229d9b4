//! Two texts, line by line: what went, what came, and a few lines around it.
//!
//! The longest common subsequence, by the table that every textbook has; what both begin and end with is set aside first,
//! and manifests are short. Texts that differ in more than the table may hold are shown as one gone and the other come.

/// Lines with ` `, `-` or `+` before them; `@@` where equal lines are left out.
pub(super) fn lines(before: &str, after: &str) -> String {
    let (before, after): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    let equal = before.iter().zip(&after).take_while(|(a, b)| a == b).count();
    let (head, old) = before.split_at(equal);
    let (_, new) = after.split_at(equal);
    let ends = old.iter().rev().zip(new.iter().rev()).take_while(|(a, b)| a == b).count();
    let (old, tail) = old.split_at(old.len() - ends);
    let (new, _) = new.split_at(new.len() - ends);
    let same = |line: &&str| (' ', (*line).to_owned());
    let marked: Vec<_> =
        head.iter().map(same).chain(changed(old, new)).chain(tail.iter().map(same)).collect();
    around(&marked)
}

fn changed(old: &[&str], new: &[&str]) -> Vec<(char, String)> {
    let mut marked = Vec::new();
    let width = new.len() + 1;
    let table = if old.len().saturating_mul(new.len()) <= MOST { common(old, new) } else { Vec::new() };
    // How many lines the rests have in common; without a table, none.
    let rest = |i: usize, j: usize| table.get(i * width + j).copied().unwrap_or(0);
    let (mut i, mut j) = (0, 0);
    loop {
        match (old.get(i), new.get(j)) {
            (Some(a), Some(b)) if a == b => {
                marked.push((' ', (*a).to_owned()));
                (i, j) = (i + 1, j + 1);
            }
            (Some(a), b) if b.is_none() || rest(i + 1, j) >= rest(i, j + 1) => {
                marked.push(('-', (*a).to_owned()));
                i += 1;
            }
            (_, Some(b)) => {
                marked.push(('+', (*b).to_owned()));
                j += 1;
            }
            (_, None) => return marked,
        }
    }
}

/// At `i * (new.len() + 1) + j`: the length of the longest common subsequence of `old[i..]` and `new[j..]`.
fn common(old: &[&str], new: &[&str]) -> Vec<u32> {
    let width = new.len() + 1;
    let mut table = vec![0; (old.len() + 1) * width];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            let at = |i: usize, j: usize| table.get(i * width + j).copied().unwrap_or(0);
            let equal = old.get(i) == new.get(j);
            let longest = if equal { at(i + 1, j + 1) + 1 } else { at(i + 1, j).max(at(i, j + 1)) };
            if let Some(place) = table.get_mut(i * width + j) {
                *place = longest;
            }
        }
    }
    table
}

/// Leaves out what is far from every change.
fn around(marked: &[(char, String)]) -> String {
    let mut text = String::new();
    let mut left_out = false;
    for (nth, (mark, line)) in marked.iter().enumerate() {
        let from = nth.saturating_sub(AROUND);
        let mut near = marked.iter().skip(from).take(nth - from + AROUND + 1);
        if near.any(|(mark, _)| *mark != ' ') {
            text.push_str(if left_out { "@@\n" } else { "" });
            left_out = false;
            text.push(*mark);
            text.push_str(line);
            text.push('\n');
        } else {
            left_out = true;
        }
    }
    text
}

/// Lines shown before and after a change.
const AROUND: usize = 3;
/// Cells of the table: sixteen megabytes.
const MOST: usize = 4 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_marked_and_what_is_far_from_it_left_out() {
        let before = "a\nb\nc\nd\ne\nf\ng\nh\n";
        for (after, expected) in [
            (before, ""),
            ("a\nb\nc\nd\nX\nf\ng\nh\n", "@@\n b\n c\n d\n-e\n+X\n f\n g\n h\n"),
            ("X\na\nb\nc\nd\ne\nf\ng\nh\n", "+X\n a\n b\n c\n"),
            ("a\nb\nc\nd\ne\nf\ng\n", "@@\n e\n f\n g\n-h\n"),
            ("b\nc\nd\ne\nf\ng\nh\nX\n", "-a\n b\n c\n d\n@@\n f\n g\n h\n+X\n"),
        ] {
            let said = lines(before, after);
            // A gap in the middle may be left out or shown.
            assert_eq!(said.replace("@@\n", ""), expected.replace("@@\n", ""), "{said}");
        }
        assert_eq!(lines("", "a\n"), "+a\n");
        assert_eq!(lines("a\n", ""), "-a\n");
    }

    #[test]
    fn applying_the_marks_gives_the_other_text() {
        let before = "k: 1\nx: 2\ny: 3\nx: 2\n";
        let after = "x: 2\nk: 1\nx: 2\nz: 3\n";
        let said = lines(before, after);
        let of = |mark: char| -> String {
            let kept = said.lines().filter(|line| line.starts_with([' ', mark]));
            kept.filter_map(|line| line.get(1..)).map(|line| format!("{line}\n")).collect()
        };
        assert_eq!((of('-'), of('+')), (before.to_owned(), after.to_owned()), "{said}");
    }
}
