//! Which systems' mappings are tried.

use std::path::{Component, Path};
use std::sync::Arc;

use mappings::domain::{Operation, Request, Service, SystemName};
use mappings::mapping::{Catalogue, Source, Steps, System};

use crate::cli::{Mistake, TryArgs};
use crate::library;

/// One system whose mapping is tried, for which service.
pub(super) struct Chosen {
    pub(super) system: Arc<System>,
    service: Service,
}

/// The systems that MAPPING names: those the route gives the request to, or the one whose file it is.
pub(super) fn choose(args: &TryArgs, request: &Request) -> anyhow::Result<Vec<Chosen>> {
    let path = Path::new(&args.mapping);
    if path.extension().is_some_and(|extension| extension == "yaml") {
        return of_file(path).map(|chosen| vec![chosen]);
    }
    let service = Service::parse(&args.mapping).map_err(|error| {
        Mistake::new(
            error.to_string(),
            "name a service, for example waste.missed-bin, or the path of its YAML file",
        )
    })?;
    if service != request.service {
        return Err(Mistake::new(
            format!("the request asks for {}, not for {service}", request.service),
            "give the service that the request names, or another request",
        )
        .into());
    }
    let catalogue = library::compile(&library::read(args.mappings.as_deref())?, &library::placeholder)?;
    let system = |name: &SystemName| catalogue.system(name).cloned();
    let names: Vec<SystemName> = match args.operation {
        Operation::Close => catalogue.crm_of(&request.council).cloned().into_iter().collect(),
        Operation::Create | Operation::Amend | Operation::Cancel => {
            catalogue.route(request).map(<[_]>::to_vec).unwrap_or_default()
        }
    };
    let chosen: Vec<Chosen> =
        names.iter().filter_map(system).map(|system| Chosen { system, service: service.clone() }).collect();
    if chosen.is_empty() {
        Err(no_route(&service, request, args.operation, &catalogue).into())
    } else {
        Ok(chosen)
    }
}

fn no_route(service: &Service, request: &Request, operation: Operation, catalogue: &Catalogue) -> Mistake {
    if operation == Operation::Close {
        return Mistake::new(
            format!("no CRM takes the closures of {}", request.council),
            "name one under closures in routes.yaml",
        );
    }
    let known: Vec<&str> = catalogue.services().into_iter().map(Service::as_str).collect();
    Mistake::new(format!("no route takes {service}"), format!("the routes know {}", known.join(", ")))
}

/// The system of a service's file, with that service alone, so that mistakes elsewhere do not matter.
fn of_file(path: &Path) -> anyhow::Result<Chosen> {
    let mistaken =
        |what: String| Mistake::new(what, "name a file like mappings/systems/waste/missed-bin.yaml");
    let folder = match path.parent() {
        Some(parent) if parent.components().next().is_some() => parent,
        Some(_) | None => Path::new(&Component::CurDir),
    };
    let file = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let wanted = |source: &Source| {
        let own = source.path.rsplit('/').next();
        own == Some(&file) || own == Some("system.yaml")
    };
    let sources: Vec<Source> = library::read(Some(folder))?
        .into_iter()
        .filter(|source| source.path.split('/').count() == 3 && wanted(source))
        .collect();
    if sources.len() != 2 {
        return Err(mistaken(format!("{} is not the file of a service", path.display())).into());
    }
    let catalogue = library::compile(&sources, &library::placeholder)?;
    let system = catalogue.systems().next().cloned();
    let service = system.as_ref().and_then(|system| system.services().next().cloned());
    match (system, service) {
        (Some(system), Some(service)) => Ok(Chosen { system, service }),
        (_, _) => Err(mistaken(format!("{} describes no service", path.display())).into()),
    }
}

/// The operation's calls.
pub(super) fn steps<'a>(args: &TryArgs, chosen: &'a Chosen) -> Result<&'a Steps, Mistake> {
    operation(&chosen.system, &chosen.service, args.operation)
}

/// An operation of a system for a service.
pub(super) fn operation<'a>(
    system: &'a System,
    service: &Service,
    operation: Operation,
) -> Result<&'a Steps, Mistake> {
    system.operation(service, operation).ok_or_else(|| {
        let has: Vec<&str> = Operation::ALL
            .iter()
            .filter(|other| system.operation(service, **other).is_some())
            .map(|other| other.as_str())
            .collect();
        Mistake::new(
            format!("{} has no {operation} for {service}", system.title),
            if has.is_empty() {
                "it has no operation for it".to_owned()
            } else {
                format!("it has {}", has.join(", "))
            },
        )
    })
}
