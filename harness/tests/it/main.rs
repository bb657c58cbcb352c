mod cli;
mod scenario_errors;
