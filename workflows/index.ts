/** The bundle's entry: every workflow, by name. */
export { searchDownload } from './search-download.workflow.js';
export { download } from './download.workflow.js';
