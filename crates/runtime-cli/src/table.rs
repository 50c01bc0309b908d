//! Tables as Go's `text/tabwriter` lays them out: columns at least twelve wide, three spaces between.

const LEAST_WIDTH: usize = 12;
const PADDING: usize = 3;

/// The lines of a table; nothing is behind the last column.
pub(crate) fn render<const N: usize>(rows: &[[String; N]]) -> String {
    let mut widths = [LEAST_WIDTH; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count() + PADDING);
        }
    }
    let mut text = String::new();
    for row in rows {
        for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
            text.push_str(cell);
            if column + 1 < N {
                let padding = width - cell.chars().count();
                text.extend(std::iter::repeat_n(' ', padding));
            }
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_those_of_tabwriter() {
        let rows = [["ID", "PID", "OWNER"], ["nine12345", "7", "root"]];
        let rows = rows.map(|row| row.map(ToString::to_string));
        assert_eq!(render(&rows), "ID          PID         OWNER\nnine12345   7           root\n");
        let rows = [["ID", "PID", "OWNER"], ["tencharact", "7", "root"]];
        let rows = rows.map(|row| row.map(ToString::to_string));
        assert_eq!(
            render(&rows),
            "ID           PID         OWNER\ntencharact   7           root\n"
        );
    }
}
