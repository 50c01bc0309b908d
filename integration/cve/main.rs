//! What is known of attacks on container runtimes, by CVE (SECURITY.md).
//!
//! Each test is a probe: a function of the runtime that gives a verdict, with the evidence if the runtime
//! falls. It is put to tare, to tare on a kernel without each newer system call, and to the old releases of
//! runc and crun that fall, if they are installed: a probe that bites nobody proves nothing. Where no peer
//! is known to fall the test says what shows that the probe can bite; `oracles` does so for what all of
//! them compare when a container ends. Nothing of the host is at stake: a runtime that falls meets decoys,
//! in a mount namespace of the test's own, and its own file is a copy.
//!
//! | procedure | where |
//! |---|---|
//! | T-A1 | `files::cve_2026_41579_a_linked_dev_does_not_lead_out`, `files::cve_2026_47766_a_device_behind_a_link_does_not_lead_out` |
//! | T-A2 | `files::cve_2015_1335_targets_behind_links_do_not_lead_out` |
//! | T-A3 | `races::cve_2021_30465_a_target_that_is_exchanged_meanwhile_does_not_lead_out` |
//! | T-A4 | `races::cve_2024_45310_a_target_that_is_made_meanwhile_does_not_lead_out` |
//! | T-A5 | `files::cve_2019_18837_chains_of_links_end_like_in_the_kernel`; strange names in `attacks::strange_names_of_targets_are_made_or_refused` |
//! | T-B1 | `mounts::cve_2019_16884_nothing_is_mounted_over_parts_of_proc` |
//! | T-B2 | `mounts::cve_2023_27561_linked_proc_and_sys_are_refused` |
//! | T-B3 | `mounts::cve_2025_31133_a_false_dev_null_never_unmasks`, `races::cve_2025_31133_a_null_device_that_is_exchanged_is_no_stream` |
//! | T-B4 | `mounts::cve_2025_52881_a_covered_sysctl_is_not_written_elsewhere`, `mounts::cve_2025_52881_a_proc_of_the_image_is_not_written`. The variant with a label needs AppArmor |
//! | T-B5 | needs AppArmor or SELinux. `read_back::writes_that_only_pretend_fail_create` lies about other files |
//! | T-B6 | `terminals::cve_2025_52565_a_linked_console_is_not_followed`, `terminals::cve_2025_52565_a_console_that_is_a_device_is_covered_not_opened`, `terminals::cve_2025_52565_a_foreign_multiplexer_is_refused` |
//! | T-B7 | `terminals::cve_2025_52565_a_terminal_is_not_opened_by_its_path`, `terminals::cve_2025_52565_a_console_that_is_exchanged_meanwhile_is_not_followed` |
//! | T-B8 | `mounts::ghsa_3q8j_pf29_vwv8_restricted_paths_are_mounted_on_by_descriptor` |
//! | T-C1 | `descriptors::cve_2016_9962_init_cannot_be_traced_in_namespaces_that_it_joins`; there is no `exec` yet |
//! | T-C2 | `descriptors::cve_2024_21626_a_cwd_through_a_descriptor_does_not_lead_out`, `descriptors::cve_2024_21626_a_program_through_a_descriptor_is_not_the_hosts`; there is no `exec` yet |
//! | T-C3 | `descriptors::cve_2016_8649_no_descriptor_of_the_host_is_left`; there is no `exec` yet |
//! | T-C4 | `descriptors::cve_2019_5736_the_file_of_init_cannot_be_overwritten`, `descriptors::cve_2019_5736_executing_ones_own_file_does_not_run_the_runtime`; there is no `exec` yet |
//! | T-C6 | `descriptors::cve_2019_14271_nothing_of_the_image_is_loaded` |
//! | T-C7 | `descriptors::cve_2020_15257_no_abstract_socket_is_made` |
//! | T-D1 | `privileges::cve_2024_40635_the_id_that_means_unchanged_is_refused`; there is no `exec` yet |
//! | T-D2 | `privileges::cve_2022_29162_capabilities_are_only_the_configured`; there is no `exec` yet |
//! | T-D3 | `privileges::cve_2022_36109_groups_are_only_the_configured` |
//! | T-D4 | `privileges::cve_2026_57231_a_variable_without_value_is_never_the_callers` |
//! | T-D5 | `privileges::cve_2021_43784_large_maps_and_variables_lose_nothing`. `setgroups` is denied to unprivileged callers, who need a v2 hierarchy that is delegated to them |
//! | T-D6 | `privileges::ghsa_g54h_m393_cpwq_only_the_default_devices_may_be_opened` |
//! | T-D7 | CVE-2023-25809 needs an unprivileged caller with a v2 hierarchy that is delegated to it |
//! | T-D8 | `mounts::cve_2015_3630_the_template_restricts_what_leaks` |
//! | T-D9 | `privileges::cve_2022_0811_sysctls_of_the_caller_are_refused`, `sysctls::sysctls_of_the_host_are_refused` |
//! | T-D10 | `hooks::cve_2025_23266_a_hook_has_its_own_environment_and_no_descriptor`, `hooks::each_hook_runs_once_and_in_order` |
//! | T-D11 | `privileges::cve_2021_43784_large_maps_and_variables_lose_nothing`, `privileges::cve_2021_43784_long_paths_lose_nothing` |
//! | T-D12 | `privileges::cve_2017_5226_the_process_leads_a_session_of_its_own` |
//! | T-D13 | `privileges::cve_2020_5291_a_setuid_runtime_refuses_to_run` |
//! | T-E6 | `privileges::cve_2023_6476_a_cgroup_path_never_leads_out_of_the_hierarchy`; there is no `exec` yet |
//! | T-E7 | CVE-2024-3154 needs systemd's cgroups, which are not there yet |
//!
//! Images of checkpoints are no input yet: there is no `restore`.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::tests_outside_test_module,
    clippy::unwrap_used,
    reason = "a test fails by panicking, and says on stderr what it skips"
)]

mod descriptors;
mod documents;
mod files;
mod hooks;
mod missing_calls;
mod mounts;
mod oracles;
mod privileges;
mod probe;
mod races;
mod terminals;
