//! What is seen of a specification to be wrong before libcontainer begins: its own words name no path.

use std::path::Path;

use oci_spec::runtime::{Mount, Spec};

use super::SandboxError;

/// Looks that what the host must have for the container is there: sources of bind mounts, namespaces to join.
///
/// # Errors
/// [`SandboxError::Mount`], [`SandboxError::Namespace`].
pub(super) fn check(spec: &Spec, bundle: &Path) -> Result<(), SandboxError> {
    for mount in spec.mounts().iter().flatten().filter(|mount| is_bind(mount)) {
        let Some(source) = mount.source() else { continue };
        bundle.join(source).symlink_metadata().map_err(|error| SandboxError::Mount {
            what: format!("bind mount of {}", source.display()),
            target: mount.destination().clone(),
            reason: error.to_string(),
        })?;
    }
    let namespaces = spec.linux().as_ref().and_then(|linux| linux.namespaces().as_ref());
    for namespace in namespaces.into_iter().flatten() {
        let Some(path) = namespace.path() else { continue };
        path.metadata().map_err(|source| SandboxError::Namespace {
            kind: namespace.typ().to_string(),
            path: path.clone(),
            source,
        })?;
    }
    Ok(())
}

fn is_bind(mount: &Mount) -> bool {
    mount.typ().as_deref() == Some("bind")
        || mount.options().iter().flatten().any(|option| option == "bind" || option == "rbind")
}

#[cfg(test)]
mod tests {
    use oci_spec::runtime::{LinuxNamespaceBuilder, LinuxNamespaceType};

    use super::*;

    fn with_mount(source: &str) -> Spec {
        let mut spec = Spec::default();
        let mut mount = Mount::default();
        mount.set_typ(Some("bind".into())).set_source(Some(source.into())).set_destination("/data".into());
        spec.set_mounts(Some(vec![mount]));
        spec
    }

    #[test]
    fn a_missing_source_is_named_with_its_destination() {
        let bundle = tempfile::tempdir().unwrap();
        check(&with_mount("."), bundle.path()).unwrap();
        let error = check(&with_mount("/nonexistent/source"), bundle.path()).unwrap_err().to_string();
        assert!(error.contains("/nonexistent/source") && error.contains("/data") && error.contains("No such file"));
    }

    #[test]
    fn a_missing_namespace_is_named() {
        let mut spec = Spec::default();
        let mut linux = spec.linux().clone().unwrap();
        let namespace = LinuxNamespaceBuilder::default().typ(LinuxNamespaceType::Network).path("/nonexistent/netns");
        linux.set_namespaces(Some(vec![namespace.build().unwrap()]));
        spec.set_linux(Some(linux)).set_mounts(None);
        let error = check(&spec, Path::new("/")).unwrap_err().to_string();
        assert!(error.contains("net namespace /nonexistent/netns can't be joined"), "{error}");
    }
}
