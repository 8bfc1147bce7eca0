/* The installer's custom actions.

   TakeToken leaves the token where the agent takes it, in a file that the system and administrators alone may
   read. A registry value would be simpler, and would be written to verbose logs. CustomActionData: FOLDER|TOKEN.

   MarkUpdate leaves a mark before an update has the old version uninstalled. Windows tells the old version by
   UPGRADINGPRODUCTCODE, and Wine does not: identity and reports must not depend on that alone.

   ForgetData removes the agent's folder with all that is in it, unless it is marked so. CustomActionData: FOLDER.

   SettleService puts the service's program in quotes and has it start late and again after a failure, before it is
   started first. The tables cannot say the latter, and not every installer engine quotes a path with spaces: Windows
   would try `C:\Program.exe` first, as the system. */
#include <windows.h>
#include <msi.h>
#include <msiquery.h>
#include <sddl.h>

#define LONGEST 4096

/* A mark counts for so long: ten minutes in units of 100 ns. An update takes seconds. */
#define MARK_LIFE 6000000000ULL

static DWORD write_token(const WCHAR *file, const WCHAR *token, SECURITY_ATTRIBUTES *access) {
  char bytes[LONGEST];
  DWORD written = 0;
  int length = WideCharToMultiByte(CP_UTF8, 0, token, -1, bytes, sizeof bytes, NULL, NULL);
  if (length <= 1) return ERROR_INVALID_DATA;
  /* What is there already may be open to others: it is not written to, but replaced. */
  if (!DeleteFileW(file) && GetLastError() != ERROR_FILE_NOT_FOUND) return GetLastError();
  HANDLE handle = CreateFileW(file, GENERIC_WRITE, 0, access, CREATE_NEW, FILE_ATTRIBUTE_NORMAL, NULL);
  if (handle == INVALID_HANDLE_VALUE) return GetLastError();
  DWORD failure = WriteFile(handle, bytes, (DWORD)length - 1, &written, NULL) ? ERROR_SUCCESS : GetLastError();
  CloseHandle(handle);
  SecureZeroMemory(bytes, sizeof bytes);
  return failure;
}

/* Links to folders elsewhere are removed, and not followed. */
static void remove_folder(const WCHAR *folder) {
  WCHAR path[LONGEST];
  WIN32_FIND_DATAW found;
  if (lstrlenW(folder) + MAX_PATH + 2 > LONGEST) return;
  lstrcpyW(path, folder);
  lstrcatW(path, L"\\*");
  HANDLE search = FindFirstFileW(path, &found);
  if (search != INVALID_HANDLE_VALUE) {
    do {
      if (!lstrcmpW(found.cFileName, L".") || !lstrcmpW(found.cFileName, L"..")) continue;
      lstrcpyW(path, folder);
      lstrcatW(path, L"\\");
      lstrcatW(path, found.cFileName);
      if (!(found.dwFileAttributes & FILE_ATTRIBUTE_DIRECTORY)) {
        SetFileAttributesW(path, FILE_ATTRIBUTE_NORMAL);
        DeleteFileW(path);
      } else if (found.dwFileAttributes & FILE_ATTRIBUTE_REPARSE_POINT) {
        RemoveDirectoryW(path);
      } else {
        remove_folder(path);
      }
    } while (FindNextFileW(search, &found));
    FindClose(search);
  }
  RemoveDirectoryW(folder);
}

static ULONGLONG ticks(FILETIME time) { return ((ULONGLONG)time.dwHighDateTime << 32) | time.dwLowDateTime; }

/* Takes the mark away; whether it was a fresh one. */
static BOOL take_mark(const WCHAR *folder) {
  WCHAR mark[LONGEST];
  WIN32_FILE_ATTRIBUTE_DATA seen;
  FILETIME now;
  if (lstrlenW(folder) + 16 > LONGEST) return FALSE;
  lstrcpyW(mark, folder);
  lstrcatW(mark, L"\\updating");
  if (!GetFileAttributesExW(mark, GetFileExInfoStandard, &seen)) return FALSE;
  DeleteFileW(mark);
  GetSystemTimeAsFileTime(&now);
  ULONGLONG age = ticks(now) - ticks(seen.ftLastWriteTime);
  return ticks(now) >= ticks(seen.ftLastWriteTime) && age < MARK_LIFE;
}

__declspec(dllexport) UINT __stdcall MarkUpdate(MSIHANDLE install) {
  WCHAR mark[LONGEST];
  DWORD length = LONGEST - 32;
  if (MsiGetPropertyW(install, L"CommonAppDataFolder", mark, &length) != ERROR_SUCCESS) return ERROR_SUCCESS;
  lstrcatW(mark, L"Rollcall\\updating");
  HANDLE handle = CreateFileW(mark, GENERIC_WRITE, 0, NULL, CREATE_ALWAYS, FILE_ATTRIBUTE_NORMAL, NULL);
  if (handle != INVALID_HANDLE_VALUE) CloseHandle(handle);
  return ERROR_SUCCESS;
}

__declspec(dllexport) UINT __stdcall ForgetData(MSIHANDLE install) {
  WCHAR folder[LONGEST];
  DWORD length = LONGEST;
  if (MsiGetPropertyW(install, L"CustomActionData", folder, &length) != ERROR_SUCCESS || length < 4)
    return ERROR_INSTALL_FAILURE;
  if (take_mark(folder)) return ERROR_SUCCESS;
  DWORD attributes = GetFileAttributesW(folder);
  if (attributes == INVALID_FILE_ATTRIBUTES) return ERROR_SUCCESS;
  if (attributes & FILE_ATTRIBUTE_REPARSE_POINT)
    RemoveDirectoryW(folder);
  else
    remove_folder(folder);
  /* What another program holds open stays: no reason to keep the agent installed. */
  return ERROR_SUCCESS;
}

__declspec(dllexport) UINT __stdcall TakeToken(MSIHANDLE install) {
  WCHAR data[LONGEST], file[LONGEST];
  DWORD length = LONGEST;
  if (MsiGetPropertyW(install, L"CustomActionData", data, &length) != ERROR_SUCCESS) return ERROR_INSTALL_FAILURE;
  WCHAR *token = wcschr(data, L'|');
  if (token == NULL || token - data > MAX_PATH) return ERROR_INSTALL_FAILURE;
  *token++ = 0;
  SECURITY_ATTRIBUTES access = {sizeof access, NULL, FALSE};
  if (!ConvertStringSecurityDescriptorToSecurityDescriptorW(L"D:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)", SDDL_REVISION_1,
                                                            &access.lpSecurityDescriptor, NULL))
    return ERROR_INSTALL_FAILURE;
  CreateDirectoryW(data, &access);
  lstrcpyW(file, data);
  lstrcatW(file, L"\\token");
  DWORD failure = write_token(file, token, &access);
  LocalFree(access.lpSecurityDescriptor);
  SecureZeroMemory(data, sizeof data);
  return failure == ERROR_SUCCESS ? ERROR_SUCCESS : ERROR_INSTALL_FAILURE;
}

/* The command line with its program in quotes: the program ends at the first ".exe" that a space or the end follows. */
static BOOL quoted(const WCHAR *line, WCHAR *into) {
  int length = lstrlenW(line), program;
  if (line[0] == L'"' || length + 3 > LONGEST) return FALSE;
  for (program = 4; program <= length; program++) {
    const WCHAR *end = line + program;
    if ((*end == 0 || *end == L' ') && CompareStringW(LOCALE_INVARIANT, NORM_IGNORECASE, end - 4, 4, L".exe", 4) == CSTR_EQUAL)
      break;
  }
  if (program > length) return FALSE;
  into[0] = L'"';
  CopyMemory(into + 1, line, program * sizeof(WCHAR));
  into[program + 1] = L'"';
  lstrcpyW(into + program + 2, line + program);
  return TRUE;
}

static DWORD quote_program(SC_HANDLE service) {
  BYTE buffer[8192];
  WCHAR line[LONGEST];
  DWORD needed;
  QUERY_SERVICE_CONFIGW *config = (QUERY_SERVICE_CONFIGW *)buffer;
  if (!QueryServiceConfigW(service, config, sizeof buffer, &needed)) return GetLastError();
  if (!quoted(config->lpBinaryPathName, line)) return ERROR_SUCCESS;
  if (!ChangeServiceConfigW(service, SERVICE_NO_CHANGE, SERVICE_NO_CHANGE, SERVICE_NO_CHANGE, line, NULL, NULL, NULL,
                            NULL, NULL, NULL))
    return GetLastError();
  return ERROR_SUCCESS;
}

__declspec(dllexport) UINT __stdcall SettleService(MSIHANDLE install) {
  /* As the agent's own registration has them: after 10 s, a minute, ten minutes; a day without forgets them. */
  SC_ACTION restarts[3] = {{SC_ACTION_RESTART, 10000}, {SC_ACTION_RESTART, 60000}, {SC_ACTION_RESTART, 600000}};
  SERVICE_FAILURE_ACTIONSW failures = {86400, NULL, NULL, 3, restarts};
  SERVICE_DELAYED_AUTO_START_INFO late = {TRUE};
  SC_HANDLE manager = OpenSCManagerW(NULL, NULL, SC_MANAGER_CONNECT);
  if (manager == NULL) return ERROR_INSTALL_FAILURE;
  SC_HANDLE service =
      OpenServiceW(manager, L"rollcall-agent", SERVICE_QUERY_CONFIG | SERVICE_CHANGE_CONFIG | SERVICE_START);
  DWORD failure = service == NULL ? GetLastError() : quote_program(service);
  if (service != NULL) {
    /* Without one of these the service runs as well, and sets it itself at its start. */
    ChangeServiceConfig2W(service, SERVICE_CONFIG_FAILURE_ACTIONS, &failures);
    ChangeServiceConfig2W(service, SERVICE_CONFIG_DELAYED_AUTO_START_INFO, &late);
    CloseServiceHandle(service);
  }
  CloseServiceHandle(manager);
  return failure == ERROR_SUCCESS ? ERROR_SUCCESS : ERROR_INSTALL_FAILURE;
}
