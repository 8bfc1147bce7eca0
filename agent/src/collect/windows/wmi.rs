//! WMI: what providers say, as rows of named values. Only the last of the readers here need it: each question
//! wakes a provider's process.

use std::collections::BTreeMap;

/// A property's value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Not set.
    Null,
    /// Yes or no.
    Flag(bool),
    /// Any number.
    Number(f64),
    /// Text; WMI gives 64-bit numbers so.
    Text(String),
}

/// The properties of one object.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Row(BTreeMap<String, Value>);

impl Row {
    /// A row of these properties.
    pub fn new(values: impl IntoIterator<Item = (String, Value)>) -> Self {
        Self(values.into_iter().collect())
    }

    /// A number, also one that WMI gave as text.
    pub fn number(&self, property: &str) -> Option<f64> {
        match self.0.get(property)? {
            Value::Number(number) => Some(*number),
            Value::Text(text) => text.trim().parse().ok(),
            _ => None,
        }
    }

    /// A text, without space at either end; an empty one is none.
    pub fn text(&self, property: &str) -> Option<&str> {
        match self.0.get(property)? {
            Value::Text(text) => Some(text.trim()).filter(|text| !text.is_empty()),
            _ => None,
        }
    }
}

#[cfg(windows)]
pub use self::native::{Com, query};

#[cfg(windows)]
mod native {
    use windows::Win32::System::Com::{
        CLSCTX_INPROC_SERVER, COINIT_MULTITHREADED, CoCreateInstance, CoInitializeEx,
        CoSetProxyBlanket, CoUninitialize, EOAC_NONE, RPC_C_AUTHN_LEVEL_CALL,
        RPC_C_IMP_LEVEL_IMPERSONATE,
    };
    use windows::Win32::System::Rpc::{RPC_C_AUTHN_WINNT, RPC_C_AUTHZ_NONE};
    use windows::Win32::System::Variant::{
        VARIANT, VT_BOOL, VT_BSTR, VT_I2, VT_I4, VT_R4, VT_R8, VT_UI1, VT_UI2, VT_UI4,
    };
    use windows::Win32::System::Wmi::{
        IWbemClassObject, IWbemLocator, IWbemServices, WBEM_FLAG_FORWARD_ONLY,
        WBEM_FLAG_RETURN_IMMEDIATELY, WbemLocator,
    };
    use windows::core::{BSTR, HSTRING};

    use super::{Row, Value};
    use crate::collect::source::Sourced;
    use crate::collect::windows::failed;

    /// `WBEM_FLAG_CONNECT_USE_MAX_WAIT`: a broken service is given up on after two minutes at most.
    const USE_MAX_WAIT: i32 = 0x80;

    /// How long the next row may take, in milliseconds; less than a probe's budget.
    const PATIENCE_MS: i32 = 8000;

    /// Rows that are read of any answer: a laptop has three drives and two batteries.
    const ROWS: usize = 64;

    /// The use of COM by this thread, for as long as it lives.
    pub struct Com(());

    impl Com {
        /// Enters COM.
        ///
        /// # Errors
        /// What COM says.
        #[expect(unsafe_code, reason = "COM is entered and left by thread")]
        pub fn enter() -> Sourced<Self> {
            // SAFETY: each success is followed by one CoUninitialize, on the same thread, since the
            // guard does not leave it.
            unsafe { CoInitializeEx(None, COINIT_MULTITHREADED) }
                .ok()
                .map_err(|error| failed("CoInitializeEx", &error))?;
            Ok(Self(()))
        }
    }

    impl Drop for Com {
        #[expect(unsafe_code, reason = "COM is entered and left by thread")]
        fn drop(&mut self) {
            // SAFETY: it was entered by this guard, and what COM gave is released before it.
            unsafe { CoUninitialize() };
        }
    }

    /// Asks for `properties` of all objects of `class` in `namespace`.
    ///
    /// # Errors
    /// Why WMI does not answer, such as that this machine has no such class.
    pub fn query(namespace: &str, class: &str, properties: &[&str]) -> Sourced<Vec<Row>> {
        let _com = Com::enter()?;
        let wrong = |error| failed(&format!("WMI's {class}"), &error);
        let services = connect(namespace).map_err(wrong)?;
        rows(&services, class, properties).map_err(wrong)
    }

    #[expect(unsafe_code, reason = "COM's methods")]
    fn connect(namespace: &str) -> windows::core::Result<IWbemServices> {
        let none = BSTR::new();
        // SAFETY: COM is entered; all arguments live for the calls.
        unsafe {
            let locator: IWbemLocator = CoCreateInstance(&WbemLocator, None, CLSCTX_INPROC_SERVER)?;
            let services = locator.ConnectServer(
                &BSTR::from(namespace),
                &none,
                &none,
                &none,
                USE_MAX_WAIT,
                &none,
                None,
            )?;
            CoSetProxyBlanket(
                &services,
                RPC_C_AUTHN_WINNT,
                RPC_C_AUTHZ_NONE,
                None,
                RPC_C_AUTHN_LEVEL_CALL,
                RPC_C_IMP_LEVEL_IMPERSONATE,
                None,
                EOAC_NONE,
            )?;
            Ok(services)
        }
    }

    #[expect(unsafe_code, reason = "COM's methods")]
    fn rows(
        services: &IWbemServices,
        class: &str,
        properties: &[&str],
    ) -> windows::core::Result<Vec<Row>> {
        let wql = format!("SELECT {} FROM {class}", properties.join(", "));
        let flags = WBEM_FLAG_FORWARD_ONLY | WBEM_FLAG_RETURN_IMMEDIATELY;
        // SAFETY: all arguments live for the call.
        let objects =
            unsafe { services.ExecQuery(&BSTR::from("WQL"), &BSTR::from(wql), flags, None)? };
        let mut rows = Vec::new();
        while rows.len() < ROWS {
            let (mut next, mut count) = ([None::<IWbemClassObject>], 0);
            // SAFETY: there is room for one object, which is what is asked for.
            let told = unsafe { objects.Next(PATIENCE_MS, &mut next, &raw mut count) };
            told.ok()?;
            let [Some(object)] = next else {
                break;
            };
            rows.push(row(&object, properties)?);
        }
        Ok(rows)
    }

    fn row(object: &IWbemClassObject, properties: &[&str]) -> windows::core::Result<Row> {
        let values = properties
            .iter()
            .map(|name| Ok(((*name).to_owned(), get(object, name)?)));
        Ok(Row::new(values.collect::<windows::core::Result<Vec<_>>>()?))
    }

    #[expect(
        unsafe_code,
        reason = "COM's methods, and a union that its own tag tells apart"
    )]
    fn get(object: &IWbemClassObject, property: &str) -> windows::core::Result<Value> {
        let mut variant = VARIANT::default();
        // SAFETY: the name ends with a zero, and the variant is valid and empty.
        unsafe { object.Get(&HSTRING::from(property), 0, &raw mut variant, None, None)? };
        // SAFETY: the tag says which field of the union is set.
        unsafe {
            let value = &variant.Anonymous.Anonymous;
            let of = &value.Anonymous;
            Ok(match value.vt {
                VT_BOOL => Value::Flag(of.boolVal.as_bool()),
                VT_I2 => Value::Number(of.iVal.into()),
                VT_I4 => Value::Number(of.lVal.into()),
                VT_UI1 => Value::Number(of.bVal.into()),
                VT_UI2 => Value::Number(of.uiVal.into()),
                VT_UI4 => Value::Number(of.ulVal.into()),
                VT_R4 => Value::Number(of.fltVal.into()),
                VT_R8 => Value::Number(of.dblVal),
                VT_BSTR => Value::Text(of.bstrVal.to_string()),
                _ => Value::Null,
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_may_come_as_text_and_an_empty_text_is_none() {
        let row = Row::new([
            ("Size".to_owned(), Value::Text("512110190592".to_owned())),
            ("Model".to_owned(), Value::Text(" ".to_owned())),
            ("Health".to_owned(), Value::Number(0.0)),
            ("Flag".to_owned(), Value::Flag(true)),
            ("Unset".to_owned(), Value::Null),
        ]);
        assert_eq!(row.number("Size"), Some(512_110_190_592.0));
        assert_eq!(row.number("Health"), Some(0.0));
        assert_eq!((row.text("Model"), row.number("Unset")), (None, None));
        assert_eq!((row.number("Flag"), row.text("absent")), (None, None));
    }

    #[cfg(windows)]
    #[test]
    fn this_machine_answers_and_what_it_has_not_has_words() {
        let rows = query(r"ROOT\CIMV2", "Win32_OperatingSystem", &["Version"]).unwrap();
        assert!(rows[0].text("Version").is_some(), "{rows:?}");
        let absent = query(r"ROOT\Rollcall", "Win32_OperatingSystem", &["Version"]);
        let why = absent.unwrap_err();
        assert!(why.starts_with("WMI's Win32_OperatingSystem"), "{why}");
    }
}
