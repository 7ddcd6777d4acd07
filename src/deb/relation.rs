//! Relationships between packages (Policy 7.1).

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
}
