//! What this build can do, generated from the tables that the code executes.
