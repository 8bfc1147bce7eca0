use super::*;

fn files(texts: &[(&str, &str)]) -> Vec<InventoryFile> {
    let file = |(name, text): &(&str, &str)| InventoryFile {
        name: (*name).to_owned(),
        text: (*text).to_owned(),
    };
    texts.iter().map(file).collect()
}

fn apply(known: &mut Inventory, plan: &Plan) {
    for write in &plan.writes {
        match write {
            Write::PutAsset(asset) => known.put(asset.clone()),
            Write::PutPupil(pupil) => known.put_pupil(pupil.clone()),
            Write::RemovePupil(reference) => known.remove_pupil(reference),
            other => panic!("{other:?}"),
        }
    }
}

fn word(text: &str) -> Word {
    text.to_owned().try_into().unwrap()
}

const LAPTOPS: &str = "Asset Tag,Serial,Model,School,Grade,Status,Family Name\n\
    A1,5CD001,Latitude 3120,Lincoln,7,in use,Doe\n\
    A2,5CD002,Latitude 3120,Lincoln,7,retierd,Roe\n\
    ,5CD003,,,,,\n\
    A4,5CD004,Latitude 3120,Hay,8,lost,\n\
    A4,5CD004,,,,,\n\
    A5,5CD001,,,,,\n\
    A6,To be filled by O.E.M.,,,,,\n";

#[test]
fn each_bad_row_is_told_by_line_and_the_rest_is_kept_once_and_for_all() {
    let mut known = Inventory::default();
    let import = files(&[("laptops.csv", LAPTOPS)]);
    let first = plan(&import, &known);
    assert_eq!((first.report.laptops_added, first.report.refused), (2, 5));
    let expected = [
        "line 3: status: `retierd` is no status; did you mean `retired`?",
        "line 4: asset_tag: is missing",
        "line 6: asset_tag: `A4` stands in an earlier row of this file too",
        "line 8: serial: is what makers leave where a number should be",
        "line 7: serial: is that of `A1` already",
    ];
    assert_eq!(
        first.report.problems,
        expected.map(|e| format!("laptops.csv {e}"))
    );
    assert_eq!(first.report.files[0].left_out, ["familyname"]);
    assert_eq!(first.report.files[0].rows, 7);
    apply(&mut known, &first);
    let again = plan(&import, &known);
    assert!(again.writes.is_empty(), "{:?}", again.writes);
    assert_eq!(again.report.laptops_changed, 0);
}

#[test]
fn what_has_no_column_stays_and_loans_come_from_files_of_their_own() {
    let mut known = Inventory::default();
    let made = plan(&files(&[("laptops.csv", LAPTOPS)]), &known);
    apply(&mut known, &made);
    let loans = "tag,pupil,loaned,due,returned\n\
        A1,p-17,2026-08-24,2026-09-07,\n\
        A1,p-12,2026-01-10,2026-06-20,2026-06-19\n\
        A4,kid@example.org,2026-01-10,,\n\
        A4,p-9,2026-13-10,,\n\
        A4,p-9,2026-02-10,2026-02-01,\n\
        A4,,2026-02-10,,\n";
    let done = plan(&files(&[("loans.csv", loans)]), &known);
    assert_eq!(
        (done.report.laptops_changed, done.report.refused),
        (1, 4),
        "{:?}",
        done.report
    );
    for (problem, part) in done.report.problems.iter().zip([
        "line 4: pupil: looks like an address",
        "line 5: loaned: `2026-13-10` is no date",
        "line 6: due: is before the day of the loan",
        "line 7: pupil: is missing",
    ]) {
        assert!(problem.contains(part), "{problem}");
    }
    apply(&mut known, &done);
    let asset = known.get(&word("A1")).unwrap();
    assert_eq!(asset.loans.len(), 2);
    assert_eq!(asset.open_loan().unwrap().pupil, word("p-17"));
    assert_eq!(
        asset.model,
        Some(word("Latitude 3120")),
        "it has no column there"
    );
    assert!(
        plan(&files(&[("loans.csv", loans)]), &known)
            .writes
            .is_empty()
    );
    let cleared = plan(&files(&[("x.csv", "tag,model\nA1,\n")]), &known);
    apply(&mut known, &cleared);
    assert_eq!(known.get(&word("A1")).unwrap().model, None);
}

#[test]
fn a_serial_moves_from_one_tag_to_another_in_one_import() {
    let mut known = Inventory::default();
    let made = plan(
        &files(&[("a.csv", "tag,serial\nA1,5CD001\nA2,5CD002\n")]),
        &known,
    );
    apply(&mut known, &made);
    let swap = plan(
        &files(&[("b.csv", "tag,serial\nA1,5CD002\nA2,5CD001\n")]),
        &known,
    );
    assert_eq!((swap.report.laptops_changed, swap.report.refused), (2, 0));
    let stolen = plan(&files(&[("b.csv", "tag,serial\nA3,5CD002\n")]), &known);
    assert_eq!((stolen.report.laptops_added, stolen.report.refused), (0, 1));
}

const ORGS: &str = "sourcedId,status,dateLastModified,name,type\n\
    o-1,active,2026-08-01T00:00:00Z,Lincoln,school\n\
    o-2,active,2026-08-01T00:00:00Z,Hay,school\n\
    o-9,active,2026-08-01T00:00:00Z,The District,district\n";

#[test]
fn oneroster_1_1_brings_pupils_by_opaque_ids_and_no_names() {
    let users = "sourcedId,status,dateLastModified,enabledUser,orgSourcedIds,role,username,givenName,familyName,email,grades\n\
        u-1,active,,true,o-1,student,jdoe,Jane,Doe,jdoe@example.org,07\n\
        u-2,active,,true,\"o-2,o-1\",student,rroe,Richard,Roe,rroe@example.org,\"08,09\"\n\
        u-3,active,,true,o-1,teacher,teach,Tea,Cher,t@example.org,\n\
        u-4,active,,true,o-77,student,x,X,X,x@example.org,08\n\
        u-5,tobedeleted,,true,o-1,student,y,Y,Y,y@example.org,08\n";
    let places = "sourcedId,status,dateLastModified,classSourcedId,schoolSourcedId,userSourcedId,role\n\
        e-1,active,,c-1,o-2,u-1,student\n\
        e-2,active,,c-1,o-2,u-3,teacher\n\
        e-3,active,,c-1,o-2,u-99,student\n";
    let mut known = Inventory::default();
    known.put_pupil(Pupil {
        reference: word("u-5"),
        school: None,
        grade: None,
    });
    // The order in which they are given does not matter.
    let import = files(&[
        ("enrollments.csv", places),
        ("users.csv", users),
        ("orgs.csv", ORGS),
    ]);
    let done = plan(&import, &known);
    let report = &done.report;
    assert_eq!(
        (report.pupils_added, report.pupils_removed, report.refused),
        (2, 1, 2),
        "{report:?}"
    );
    assert!(report.problems[0].starts_with("users.csv line 5: orgSourcedIds: `o-77`"));
    assert!(report.problems[1].starts_with("enrollments.csv line 4: userSourcedId: `u-99`"));
    let left_out = &report.files[1].left_out;
    for never in ["username", "givenname", "familyname", "email"] {
        assert!(
            left_out.iter().any(|column| column == never),
            "{left_out:?}"
        );
    }
    let stored = format!("{:?}", done.writes);
    for never in ["Doe", "Jane", "@", "jdoe"] {
        assert!(!stored.contains(never), "{never} in {stored}");
    }
    apply(&mut known, &done);
    let second = known.pupil(&word("u-2")).unwrap();
    assert_eq!(
        (
            second.school.as_ref().unwrap().as_str(),
            second.grade.as_ref().unwrap().as_str()
        ),
        ("Hay", "08")
    );
    let first = known.pupil(&word("u-1")).unwrap();
    assert_eq!(
        first.school.as_ref().unwrap().as_str(),
        "Lincoln",
        "users say it themselves"
    );
    assert!(plan(&import, &known).writes.is_empty());
}

#[test]
fn oneroster_1_2_says_schools_in_roles_and_other_files_are_named() {
    let users =
        "sourcedId,status,enabledUser,username,givenName,grades\nu-1,active,true,jdoe,Jane,07\n";
    let roles = "sourcedId,status,userSourcedId,roleType,role,orgSourcedId\nr-1,active,u-1,primary,student,o-2\n";
    let known = Inventory::default();
    let import = files(&[
        ("users.csv", users),
        ("roles.csv", roles),
        ("orgs.csv", ORGS),
        ("odd.csv", "a,b\n1,2\n"),
        ("twice.csv", "tag,Tag\n"),
    ]);
    let done = plan(&import, &known);
    let [Write::PutPupil(pupil)] = &done.writes[..] else {
        panic!("{:?}", done.writes);
    };
    assert_eq!(pupil.school.as_ref().unwrap().as_str(), "Hay");
    assert_eq!(done.report.refused, 2);
    assert!(done.report.problems[0].starts_with("odd.csv line 1: no such file is known"));
    let simple = files(&[("pupils.csv", "pupil,school,grade\np-1,Lincoln,7\n,Hay,8\n")]);
    let done = plan(&simple, &known);
    assert_eq!((done.report.pupils_added, done.report.refused), (1, 1));
}
