"""The report: one page that holds a recording and works offline."""
