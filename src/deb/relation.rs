//! Relationships between packages (Policy 7.1).

/// Relationship fields of a binary package.
pub const OF_BINARY: [&str; 9] = [
    "Pre-Depends",
    "Depends",
    "Recommends",
    "Suggests",
    "Enhances",
    "Breaks",
    "Conflicts",
    "Replaces",
    "Provides",
];

/// Checks a relationship field of a binary package: apt reads no index any more that has one which it can't parse.
pub fn check(field: &str) -> Result<(), String> {
    // A comma may stand at the end.
    let field = field.trim();
    let field = field.strip_suffix(',').unwrap_or(field);
    if field.is_empty() {
        return Ok(());
    }
    match field.split([',', '|']).find(|one| !is_relation(one.trim())) {
        Some(one) => Err(format!(
            "{:?} is not NAME or NAME (OPERATOR VERSION)",
            one.trim()
        )),
        None => Ok(()),
    }
}

/// Of a binary package: what is restricted to architectures or profiles was resolved when it was built.
fn is_relation(text: &str) -> bool {
    let (name, version) = match text.split_once('(') {
        Some((name, version)) => (name.trim_end(), Some(version)),
        None => (text, None),
    };
    let (name, qualifier) = name.split_once(':').unwrap_or((name, "any"));
    let is_word = |word: &str, more: fn(char) -> bool| !word.is_empty() && word.chars().all(more);
    let is_version = |version: &str| {
        let Some(version) = version.strip_suffix(')') else {
            return false;
        };
        let version = ["<<", "<=", ">=", ">>", "=", "<", ">"]
            .iter()
            .find_map(|operator| version.trim().strip_prefix(operator));
        version.is_some_and(|version| {
            is_word(version.trim(), |letter| {
                is_of_name(letter) || ":~".contains(letter)
            })
        })
    };
    is_word(name, is_of_name)
        && is_word(qualifier, |letter| {
            letter.is_ascii_alphanumeric() || letter == '-'
        })
        && version.is_none_or(is_version)
}

/// Names of the packages in a relationship field, whatever versions, architectures and profiles they are restricted to.
pub fn names(field: &str) -> impl Iterator<Item = &str> {
    field
        .split([',', '|'])
        .map(|relation| {
            let relation = relation.trim_start();
            let end = relation.find(|letter: char| !is_of_name(letter));
            &relation[..end.unwrap_or(relation.len())]
        })
        .filter(|name| !name.is_empty())
}

fn is_of_name(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || "+-.".contains(letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_without_their_restrictions() {
        let field = "debhelper-compat (= 13), python3:any, a|b<!nocheck>,\n g++-12 [amd64] <stage1> | c (>> 1), ,";
        let found: Vec<&str> = names(field).collect();
        assert_eq!(
            found,
            ["debhelper-compat", "python3", "a", "b", "g++-12", "c"]
        );
        assert_eq!(names("").count(), 0);
    }

    #[test]
    fn relations_that_apt_can_not_parse_are_told() {
        for good in [
            "",
            "libc6 (>= 2.36), python3:any | perl (<< 5.40~), libstdc++6(=1:2-3+b1),\n g++,",
            "a:amd64 (> 1), b ( >=  2 )",
        ] {
            check(good).unwrap();
        }
        for bad in [
            "foo (1)",
            "foo (>>",
            "foo (>> )",
            "foo (>> 1) x",
            ",,|,",
            "a, , b",
            "|a",
            "a |",
            "a b",
            "foo [amd64]",
            "foo <!nocheck>",
            "foo: (= 1)",
            "${misc:Depends}",
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}
