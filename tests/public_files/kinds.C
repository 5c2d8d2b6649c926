// One function per kind of file that public collections hold. Entry k has x = 0.25 k - 5 and event = 1000 + 7 k.
#include "classes.h"
#include <ROOT/RNTupleModel.hxx>
#include <ROOT/RNTupleWriter.hxx>
#include <ROOT/RVec.hxx>

const int ENTRIES = 60;
Float_t x;
Long64_t event;

void set_common(int k) { x = 0.25f * k - 5; event = 1000 + 7 * k; }

void add_common(TTree &tree, const std::string &prefix = "") {
   tree.Branch((prefix + "x").c_str(), &x, "x/F");
   tree.Branch((prefix + "event").c_str(), &event, "event/L");
}

/// Fill a tree whose baskets end after entry 24, and every 10,000 bytes.
template <class Set>
void fill(TTree &tree, Set set, int entries = ENTRIES) {
   for (int k = 0; k < entries; k++) {
      set_common(k);
      set(k);
      tree.Fill();
      if (k == 24) tree.FlushBaskets();
   }
}

/// A file with the tree `ntuple`, its branches and the values of entry k.
template <class Add, class Set>
void write(const char *path, Add add, Set set, int compression = 101, int entries = ENTRIES) {
   TFile file(path, "RECREATE", "", compression);
   TTree tree("ntuple", "");
   add_common(tree);
   add(tree);
   fill(tree, set, entries);
   tree.Write();
}
void nothing(int) {}

// Numbers ------------------------------------------------------------------------------------------------------------

void all_numbers(const char *path) {
   Char_t i1; UChar_t u1; Short_t i2; UShort_t u2; Int_t i4; UInt_t u4; Long64_t i8; ULong64_t u8; Long_t l; ULong_t ul;
   Double_t f8; Bool_t flag; char c1;
   write(path, [&](TTree &t) {
      t.Branch("i1", &i1, "i1/B"); t.Branch("u1", &u1, "u1/b"); t.Branch("i2", &i2, "i2/S"); t.Branch("u2", &u2, "u2/s");
      t.Branch("i4", &i4, "i4/I"); t.Branch("u4", &u4, "u4/i"); t.Branch("i8", &i8, "i8/L"); t.Branch("u8", &u8, "u8/l");
      t.Branch("l", &l, "l/G"); t.Branch("ul", &ul, "ul/g"); t.Branch("f8", &f8); t.Branch("flag", &flag);
      t.Branch("c1", &c1);
   }, [&](int k) {
      i1 = k - 30; u1 = 200 + k % 50; i2 = -100 * k; u2 = 65000 + k; i4 = -100000 * k; u4 = 4000000000u + k;
      i8 = 9007199254740993LL + 2 * k; u8 = 18446744073709551000ULL + k; l = -k; ul = k; f8 = 0.1 * k; flag = k % 3 == 1;
      c1 = 'a' + k % 26;
   });
}

void fixed_arrays(const char *path) {
   float three[3]; double matrix[2][3]; int cube[2][2][2]; bool flags[4]; UChar_t bytes[5]; char letters[6]; float one[1];
   write(path, [&](TTree &t) {
      t.Branch("three", three, "three[3]/F"); t.Branch("matrix", matrix, "matrix[2][3]/D");
      t.Branch("cube", cube, "cube[2][2][2]/I"); t.Branch("flags", flags, "flags[4]/O");
      t.Branch("bytes", bytes, "bytes[5]/b"); t.Branch("letters", letters, "letters[6]/B"); t.Branch("one", one, "one[1]/F");
   }, [&](int k) {
      for (int j = 0; j < 3; j++) three[j] = k + j;
      for (int j = 0; j < 6; j++) { matrix[j / 3][j % 3] = k * j; letters[j] = 'a' + (k + j) % 26; }
      for (int j = 0; j < 8; j++) cube[j / 4][j / 2 % 2][j % 2] = k - j;
      for (int j = 0; j < 4; j++) flags[j] = (k >> j) & 1;
      for (int j = 0; j < 5; j++) bytes[j] = k + 30 * j;
      one[0] = k;
   });
}

void variable_arrays(const char *path) {
   Int_t n; UInt_t m; Short_t s; UChar_t b; float v[10], w[10]; double rows[10][3]; bool flags[10]; int of_short[10], of_byte[10];
   write(path, [&](TTree &t) {
      t.Branch("n", &n, "n/I"); t.Branch("v", v, "v[n]/F"); t.Branch("w", w, "w[n]/F"); t.Branch("rows", rows, "rows[n][3]/D");
      t.Branch("m", &m, "m/i"); t.Branch("flags", flags, "flags[m]/O"); t.Branch("s", &s, "s/S");
      t.Branch("of_short", of_short, "of_short[s]/I"); t.Branch("b", &b, "b/b"); t.Branch("of_byte", of_byte, "of_byte[b]/I");
   }, [&](int k) {
      n = k % 4; m = k % 5; s = k % 6; b = k % 3;
      for (int j = 0; j < 10; j++) {
         v[j] = k - j; w[j] = 0.5f * k + j; flags[j] = (k + j) % 2; of_short[j] = k * j; of_byte[j] = k + j;
         for (int i = 0; i < 3; i++) rows[j][i] = 100 * k + 10 * j + i;
      }
   });
}

/// As `variable_arrays`, but the baskets hold no offsets: ROOT makes them from the counter.
void without_offsets(const char *path) {
   Int_t n; float v[10]; double w[10];
   write(path, [&](TTree &t) {
      ROOT::TIOFeatures features;
      features.Set(ROOT::Experimental::EIOFeatures::kGenerateOffsetMap);
      t.SetIOFeatures(features);
      t.Branch("n", &n, "n/I"); t.Branch("v", v, "v[n]/F"); t.Branch("w", w, "w[n]/D");
   }, [&](int k) { n = k % 4; for (int j = 0; j < 10; j++) { v[j] = k - j; w[j] = k + 0.5 * j; } });
}

void leaf_list(const char *path) {
   struct { float a; int b; double c; } mixed; struct { int run, lumi; } same; struct { char i; bool f; short s; } small;
   write(path, [&](TTree &t) {
      t.Branch("mixed", &mixed.a, "a/F:b/I:c/D"); t.Branch("same", &same, "run/I:lumi"); t.Branch("small", &small, "i/B:f/O:s/S");
   }, [&](int k) {
      mixed = {0.5f * k, -k, 0.1 * k}; same = {k, 2 * k}; small = {(char)(k - 10), k % 3 == 1, (short)(100 * k)};
   });
}

void leaf_list_with_arrays(const char *path) {
   struct { double pt[6]; double res[6]; int n; float m[2][2]; } track;
   write(path, [&](TTree &t) { t.Branch("track", &track, "pt[6]/D:res[6]/D:n/I:m[2][2]/F"); }, [&](int k) {
      for (int j = 0; j < 6; j++) { track.pt[j] = k + j; track.res[j] = 0.1 * k * j; }
      for (int j = 0; j < 4; j++) track.m[j / 2][j % 2] = k - j;
      track.n = k;
   });
}

void leaf_list_of_one_leaf(const char *path) {
   float a; double b[3];
   write(path, [&](TTree &t) { t.Branch("first", &a, "inside/F"); t.Branch("second", b, "inside[3]/D"); },
         [&](int k) { a = 2 * k; for (int j = 0; j < 3; j++) b[j] = k + j; });
}

void truncated_leaves(const char *path) {
   Double32_t d, d_ranged, d_bits; Float16_t f, f_ranged; Double32_t da[3], da_ranged[3]; Float16_t fa[3], fa_ranged[3];
   int n; Double32_t dv[5], dv_ranged[5]; Float16_t fv[5], fv_ranged[5];
   write(path, [&](TTree &t) {
      t.Branch("d", &d, "d/d"); t.Branch("d_ranged", &d_ranged, "d_ranged/d[0,100,16]"); t.Branch("d_bits", &d_bits, "d_bits/d[0,0,10]");
      t.Branch("f", &f, "f/f"); t.Branch("f_ranged", &f_ranged, "f_ranged/f[0,100,16]");
      t.Branch("da", da, "da[3]/d"); t.Branch("da_ranged", da_ranged, "da_ranged[3]/d[0,100,16]");
      t.Branch("fa", fa, "fa[3]/f"); t.Branch("fa_ranged", fa_ranged, "fa_ranged[3]/f[0,100,16]");
      t.Branch("n", &n, "n/I"); t.Branch("dv", dv, "dv[n]/d"); t.Branch("dv_ranged", dv_ranged, "dv_ranged[n]/d[0,100,16]");
      t.Branch("fv", fv, "fv[n]/f"); t.Branch("fv_ranged", fv_ranged, "fv_ranged[n]/f[0,100,16]");
   }, [&](int k) {
      d = d_bits = f = 0.7 * k; d_ranged = f_ranged = 0.9 * k;
      for (int j = 0; j < 3; j++) { da[j] = da_ranged[j] = 0.3 * k + j; fa[j] = fa_ranged[j] = 0.4 * k + j; }
      n = k % 4;
      for (int j = 0; j < n; j++) { dv[j] = dv_ranged[j] = 0.3 * k + j; fv[j] = fv_ranged[j] = 0.4 * k + j; }
   });
}

void truncated_members(const char *path, int split) {
   Truncated members;
   write(path, [&](TTree &t) { t.Branch("t", &members, 32000, split); }, [&](int k) { members.set(k); });
}
void truncated_members_split(const char *path) { truncated_members(path, 99); }
void truncated_members_unsplit(const char *path) { truncated_members(path, 0); }

// Collections of the standard library ---------------------------------------------------------------------------------

void vectors(const char *path) {
   std::vector<float> vf; std::vector<double> vd; std::vector<int> vi; std::vector<unsigned> vu; std::vector<short> vs;
   std::vector<unsigned short> vus; std::vector<Long64_t> vl; std::vector<ULong64_t> vul; std::vector<bool> vb;
   std::vector<char> vc; std::vector<unsigned char> vuc;
   write(path, [&](TTree &t) {
      t.Branch("vf", &vf); t.Branch("vd", &vd); t.Branch("vi", &vi); t.Branch("vu", &vu); t.Branch("vs", &vs); t.Branch("vus", &vus);
      t.Branch("vl", &vl); t.Branch("vul", &vul); t.Branch("vb", &vb); t.Branch("vc", &vc); t.Branch("vuc", &vuc);
   }, [&](int k) {
      int n = k % 4;
      vf.assign(n, 0.5f * k); vd.assign(n, 0.1 * k); vi.assign(n, -k); vu.assign(n, 4000000000u + k); vs.assign(n, -k);
      vus.assign(n, 65000 + k); vl.assign(n, 9007199254740993LL + k); vul.assign(n, (1ULL << 62) + k); vb.assign(n, k % 3 == 1);
      vc.assign(n, 'a' + k % 26); vuc.assign(n, 200 + k % 50);
      for (int j = 0; j < n; j++) { vf[j] += j; vi[j] -= j; vb[j] = (k + j) % 3 == 0; }
   });
}

void nested_vectors(const char *path) {
   std::vector<std::vector<float>> vv; std::vector<std::vector<double>> vd;
   write(path, [&](TTree &t) { t.Branch("vv", &vv); t.Branch("vd", &vd); }, [&](int k) {
      vv.clear(); vd.clear();
      for (int j = 0; j < k % 3; j++) { vv.push_back(std::vector<float>(j + 1, k + j)); vd.push_back(std::vector<double>(k % 4, j)); }
   });
}

void rvecs(const char *path) {
   ROOT::RVec<float> vf; ROOT::RVec<int> vi; ROOT::RVec<bool> vb; ROOT::RVec<double> vd; ROOT::RVec<unsigned long> vul;
   write(path, [&](TTree &t) {
      t.Branch("vf", &vf); t.Branch("vi", &vi); t.Branch("vb", &vb); t.Branch("vd", &vd); t.Branch("vul", &vul);
   }, [&](int k) {
      int n = k % 4; vf.assign(n, 0.5f * k); vi.assign(n, -k); vb.assign(n, k % 3 == 1); vd.assign(n, 0.1 * k); vul.assign(n, k);
   });
}

void other_collections(const char *path) {
   std::list<float> list; std::deque<float> deque; std::set<int> set; std::map<std::string, float> map; std::pair<int, float> pair;
   std::map<std::string, std::string> texts;
   write(path, [&](TTree &t) {
      t.Branch("list", &list); t.Branch("deque", &deque); t.Branch("set", &set); t.Branch("map", &map); t.Branch("pair.", &pair);
      t.Branch("texts", &texts);
   }, [&](int k) {
      list.assign(k % 3, k); deque.assign(k % 4, 2 * k); set = {k, k + 1}; map = {{"a", 0.5f * k}, {"b", k}}; pair = {k, 0.5f * k};
      texts = {{"k", std::to_string(k)}};
   });
}

// Text ----------------------------------------------------------------------------------------------------------------

void texts(const char *path) {
   std::string word; std::vector<std::string> words; TString tstring; TObjString objstring; char text[40]; char *pointer = text;
   std::vector<TString> tstrings;
   write(path, [&](TTree &t) {
      t.Branch("word", &word); t.Branch("words", &words); t.Branch("tstring", &tstring); t.Branch("objstring", &objstring);
      t.Branch("text", text, "text/C"); t.Branch("pointer", pointer, "pointer/C"); t.Branch("sized", text, "sized[40]/C");
      t.Branch("tstrings", &tstrings);
   }, [&](int k) {
      word = std::string(k % 5, 'w'); words.assign(k % 3, word); tstring = word.c_str(); objstring.SetString(word.c_str());
      snprintf(text, 40, "event %d%s", k, k == 30 ? " and a longer one" : ""); tstrings.assign(k % 2, tstring);
   });
}

void long_texts(const char *path) {
   std::string word;
   write(path, [&](TTree &t) { t.Branch("word", &word); }, [&](int k) { word = std::string(k % 2 ? 300 : 254, 'a' + k % 26); });
}

// Objects -------------------------------------------------------------------------------------------------------------

void numbers_of_a_class(const char *path, int split) {
   Numbers numbers;
   write(path, [&](TTree &t) { t.Branch("p", &numbers, 32000, split); }, [&](int k) { numbers.set(k); });
}
void plain_class_split(const char *path) { numbers_of_a_class(path, 99); }
void plain_class_unsplit(const char *path) { numbers_of_a_class(path, 0); }

void events(const char *path, const char *branch, int split) {
   Event content;
   write(path, [&](TTree &t) { t.Branch(branch, &content, 16000, split); }, [&](int k) { content.set(k); });
}
void event_class_unsplit(const char *path) { events(path, "e", 0); }
void event_class_split_1(const char *path) { events(path, "e", 1); }
void event_class_split_99(const char *path) { events(path, "e", 99); }
void event_class_with_prefix(const char *path) { events(path, "e.", 99); }

void clones(const char *path, int split) {
   TClonesArray particles("Particle");
   write(path, [&](TTree &t) { t.Branch("particles", &particles, 32000, split); }, [&](int k) {
      particles.Clear("C");
      for (int j = 0; j < k % 4; j++) static_cast<Particle *>(particles.ConstructedAt(j))->set(k + j);
   });
}
void clones_array_unsplit(const char *path) { clones(path, 0); }
void clones_array_split(const char *path) { clones(path, 99); }

void old_style_object(const char *path) {
   auto momentum = new TLorentzVector;
   write(path, [&](TTree &t) { t.BranchOld("momentum", "TLorentzVector", &momentum, 32000, 1); },
         [&](int k) { momentum->SetPxPyPzE(k, 2 * k, 3 * k, 4 * k); });
}

void object_branch(const char *path) {
   auto momentum = new TLorentzVector;
   write(path, [&](TTree &t) { t.Bronch("a", "TLorentzVector", &momentum, 32000, 0)->SetName("a"); t.Branch("b", "TLorentzVector", &momentum, 32000, -1); },
         [&](int k) { momentum->SetPxPyPzE(k, 2 * k, 3 * k, 4 * k); });
}

void momenta(const char *path) {
   TLorentzVector split, whole; TVector3 three; ROOT::Math::PtEtaPhiMVector pt_eta; ROOT::Math::PxPyPzEVector cartesian;
   std::vector<TVector3> several;
   write(path, [&](TTree &t) {
      t.Branch("split", &split); t.Branch("whole", &whole, 32000, 0); t.Branch("three", &three); t.Branch("pt_eta", &pt_eta);
      t.Branch("cartesian", &cartesian); t.Branch("several", &several);
   }, [&](int k) {
      split.SetPxPyPzE(k, 2 * k, 3 * k, 4 * k); whole = split; three.SetXYZ(k, -k, 2 * k); pt_eta.SetCoordinates(k, 0.1, 0.2, 0.3);
      cartesian.SetPxPyPzE(k, 2 * k, 3 * k, 4 * k); several.assign(k % 3, three);
   });
}

void histograms_in_branches(const char *path) {
   TH1F histogram("h", "", 4, 0, 1); TGraph graph(2); TBits bits; TArrayF array(3); TDatime date; TParameter<double> parameter("p", 1);
   write(path, [&](TTree &t) {
      t.Branch("histogram", &histogram); t.Branch("graph", &graph, 32000, 0); t.Branch("bits", &bits); t.Branch("array", &array);
      t.Branch("date", &date); t.Branch("parameter", &parameter, 32000, 0);
   }, [&](int k) {
      histogram.Reset(); histogram.Fill(0.1, k); graph.SetPoint(0, k, k); bits.SetBitNumber(k); array[1] = k; date.Set(1000000 * k);
      parameter.SetVal(k);
   });
}

// Trees and files -----------------------------------------------------------------------------------------------------

void write_ntuple(const char *path) {
   TFile file(path, "RECREATE");
   TNtuple tree("ntuple", "", "x:event:a");
   for (int k = 0; k < ENTRIES; k++) { set_common(k); tree.Fill(x, event, 2 * k); }
   tree.Write();
}

void write_ntuple_d(const char *path) {
   TFile file(path, "RECREATE");
   TNtupleD tree("ntuple", "", "x:event:a");
   for (int k = 0; k < ENTRIES; k++) { set_common(k); tree.Fill(x, event, 0.1 * k); }
   tree.Write();
}

void in_folders(const char *path) {
   TFile file(path, "RECREATE");
   TH1F beside("beside", "", 4, 0, 1); beside.Fill(0.3); beside.Write();
   TDirectory *folder = file.mkdir("nominal")->mkdir("deep");
   TH1F inside("inside", "", 4, 0, 1); folder->WriteTObject(&inside);
   file.mkdir("systematic");
   for (auto name : {"nominal/deep", "systematic"}) {
      file.cd(name);
      TTree tree("ntuple", "");
      add_common(tree);
      fill(tree, nothing);
      tree.Write();
   }
}

void cycles(const char *path) {
   TFile file(path, "RECREATE");
   TTree tree("ntuple", "");
   add_common(tree);
   fill(tree, [&](int k) { if (k == 20 || k == 40) tree.Write(); });
   tree.Write();
   tree.Write("another");
}

void auto_saved(const char *path) {
   write(path, [&](TTree &t) { t.SetAutoSave(20); t.SetAutoFlush(10); }, nothing);
}

void duplicate_names(const char *path) {
   double first; float second;
   write(path, [&](TTree &t) { t.Branch("twice", &first); t.Branch("twice", &second); }, [&](int k) { first = k; second = -k; });
}

void embedded_baskets(const char *path) {
   std::vector<float> v; std::string word; int n; float w[4];
   TFile file(path, "RECREATE");
   TTree tree("ntuple", "");
   add_common(tree);
   tree.Branch("v", &v); tree.Branch("word", &word); tree.Branch("n", &n, "n/I"); tree.Branch("w", w, "w[n]/F");
   fill(tree, [&](int k) { v.assign(k % 3, k); word = std::string(k % 4, 'w'); n = k % 4; for (auto &value : w) value = k; });
   file.WriteTObject(&tree);  // without flushing: the last baskets stay in the header
}

/// All baskets in the header, and after it more entries in a newer cycle.
void embedded_baskets_in_an_older_cycle(const char *path) {
   TFile file(path, "RECREATE");
   TTree tree("ntuple", "");
   add_common(tree);
   fill(tree, [&](int k) { if (k == 10) file.WriteTObject(&tree); });
   file.WriteTObject(&tree);
}

/// Lists that are empty in every entry.
void never_filled(const char *path) {
   TClonesArray particles("Particle"); std::vector<float> v; std::string word; int n = 0; float w[4];
   write(path, [&](TTree &t) {
      t.Branch("particles", &particles); t.Branch("v", &v); t.Branch("word", &word); t.Branch("n", &n, "n/I"); t.Branch("w", w, "w[n]/F");
   }, nothing);
}

void one_entry_baskets(const char *path) {
   std::vector<float> v;
   write(path, [&](TTree &t) { t.SetAutoFlush(1); t.Branch("v", &v); }, [&](int k) { v.assign(k % 3, k); });
}

void empty_tree(const char *path) {
   std::vector<float> v; Numbers numbers; int n; float w[4]; Double32_t d[3]; std::string word; TClonesArray particles("Particle");
   write(path, [&](TTree &t) {
      t.Branch("v", &v); t.Branch("p", &numbers); t.Branch("n", &n, "n/I"); t.Branch("w", w, "w[n]/F"); t.Branch("d", d, "d[3]/d[0,1,8]");
      t.Branch("word", &word); t.Branch("particles", &particles);
   }, nothing, 101, 0);
}

void compressed(const char *path, int compression) {
   std::vector<float> v; int n; double w[4];
   write(path, [&](TTree &t) { t.Branch("v", &v); t.Branch("n", &n, "n/I"); t.Branch("w", w, "w[n]/D"); },
         [&](int k) { v.assign(k % 4, k); n = k % 4; for (auto &value : w) value = k; }, compression);
}
void uncompressed(const char *path) { compressed(path, 0); }
void zlib(const char *path) { compressed(path, 109); }
void lzma(const char *path) { compressed(path, 209); }
void old_compression(const char *path) { compressed(path, 305); }
void lz4(const char *path) { compressed(path, 404); }
void zstd(const char *path) { compressed(path, 505); }
/// Each branch by its own algorithm.
void mixed_compression(const char *path) {
   double a, b, c, d;
   write(path, [&](TTree &t) {
      t.Branch("a", &a)->SetCompressionSettings(207); t.Branch("b", &b)->SetCompressionSettings(404);
      t.Branch("c", &c)->SetCompressionSettings(0); t.Branch("d", &d)->SetCompressionSettings(305);
   }, [&](int k) { a = k; b = 2 * k; c = 3 * k; d = 4 * k; });
}

void index_friend_and_notes(const char *path) {
   TFile file(path, "RECREATE");
   TTree other("other", "");
   float y;
   other.Branch("y", &y);
   for (int k = 0; k < ENTRIES; k++) { y = 3 * k; other.Fill(); }
   other.Write();
   TTree tree("ntuple", "");
   add_common(tree);
   fill(tree, nothing);
   tree.GetUserInfo()->Add(new TParameter<double>("luminosity", 59.7));
   tree.GetUserInfo()->Add(new TNamed("note", "text"));
   tree.SetAlias("twice_x", "2*x"); tree.SetAlias("another", "x*event");
   tree.AddFriend("other");
   tree.BuildIndex("event", "0");
   TEventList list("list"); list.Enter(3); tree.SetEventList(&list);
   tree.SetWeight(0.5); tree.SetMarkerColor(3);
   tree.Write();
   tree.SetEventList(nullptr);
}

void chain_merged(const char *path) {
   TString parts[2];
   for (int part = 0; part < 2; part++) {
      parts[part] = TString::Format("%s.part%d", path, part);
      TFile file(parts[part], "RECREATE", "", part ? 404 : 101);
      TTree tree("ntuple", "");
      add_common(tree);
      std::vector<float> v;
      tree.Branch("v", &v);
      for (int k = part * 30; k < part * 30 + 30; k++) { set_common(k); v.assign(k % 3, k); tree.Fill(); }
      tree.Write();
   }
   TChain chain("ntuple");
   for (auto &part : parts) chain.Add(part);
   chain.Merge(path, "fast");
   for (auto &part : parts) gSystem->Unlink(part);
}

void cloned_and_skimmed(const char *path) {
   TString whole = TString::Format("%s.whole", path);
   std::vector<float> v;
   write(whole, [&](TTree &t) { t.Branch("v", &v); }, [&](int k) { v.assign(k % 3, k); }, 101, 2 * ENTRIES);
   {
      TFile source(whole), file(path, "RECREATE");
      auto skimmed = source.Get<TTree>("ntuple")->CopyTree("Entry$ < 60");
      skimmed->Write();
   }
   gSystem->Unlink(whole);
}

/// A branch that was added later: with fewer entries than the tree.
void branch_with_fewer_entries(const char *path) {
   float late = 0;
   TFile file(path, "RECREATE");
   TTree tree("ntuple", "");
   add_common(tree);
   auto branch = tree.Branch("late", &late);
   for (int k = 0; k < ENTRIES; k++) {
      set_common(k);
      late = k;
      tree.GetBranch("x")->Fill(); tree.GetBranch("event")->Fill();
      if (k < 20) branch->Fill();
   }
   tree.SetEntries(ENTRIES);
   tree.Write();
}

/// A branch whose baskets lie in another file, in the same folder.
void branch_in_another_file(const char *path) {
   float elsewhere;
   write(path, [&](TTree &t) { t.Branch("elsewhere", &elsewhere)->SetFile(TString::Format("%s.baskets", path)); },
         [&](int k) { elsewhere = k; });
}

void odd_names(const char *path) {
   float a, b, c, d, e, f; Numbers split;
   write(path, [&](TTree &t) {
      t.Branch("jet.pt", &a, "jet.pt/F"); t.Branch("v[3]", &b, "v/F"); t.Branch("a-b", &c, "c/F"); t.Branch("two words", &d, "two words/F");
      t.Branch("HLT_µ", &e, "HLT_µ/F"); t.Branch("p.", &split); t.Branch("ntuple.y", &f, "y/F");
   }, [&](int k) { a = k; b = 2 * k; c = 3 * k; d = 4 * k; e = 5 * k; f = 6 * k; split.set(k); });
}

/// Names and titles of more than 254 characters, whose length takes five bytes.
void long_names(const char *path) {
   float a;
   std::string name = "b" + std::string(300, 'n');
   write(path, [&](TTree &t) { t.Branch(name.c_str(), &a); t.SetTitle(std::string(400, 't').c_str()); }, [&](int k) { a = k; });
}

void odd_tree_name(const char *path) {
   TFile file(path, "RECREATE");
   file.mkdir("a folder")->cd();
   TTree tree("the µ tree.v1-2", "");
   add_common(tree);
   fill(tree, nothing);
   tree.Write();
}

void many_branches(const char *path) {
   std::vector<float> values(150);
   write(path, [&](TTree &t) {
      for (int j = 0; j < 150; j++) t.Branch(TString::Format("b%d", j), &values[j], TString::Format("b%d/F", j), 2000);
   }, [&](int k) { for (int j = 0; j < 150; j++) values[j] = k + j; });
}

void beside_other_objects(const char *path) {
   TFile file(path, "RECREATE");
   TTree tree("ntuple", "");
   add_common(tree);
   fill(tree, nothing);
   tree.Write();
   TH1F histogram("histogram", "", 4, 0, 1); histogram.Fill(0.3, 2.5); histogram.Write(); histogram.Write();
   TH2D plane("plane", "", 3, 0, 1, 3, 0, 1); plane.Write();
   TGraph graph(3); graph.Write("graph");
   TObjString("text").Write("text");
   TList list; list.Add(new TNamed("a", "b")); list.Write("list", TObject::kSingleKey);
   TParameter<int>("parameter", 3).Write();
   TTree second("second", ""); float y = 1; second.Branch("y", &y); second.Fill(); second.Write();
   std::vector<double> numbers{1, 2}; file.WriteObject(&numbers, "numbers");
   TH1F doomed("doomed", "", 1000, 0, 1); doomed.Write(); file.Delete("doomed;*");  // leaves a gap
}

/// In a file whose records all have positions of eight bytes, as those beyond 2 GB: the first byte is at 2^31.
void beyond_two_gigabytes(const char *path) {
   TFile file(path, "RECREATE", "", 101);
   file.SetEND(2100000000LL);
   file.GetListOfFree()->Clear();
   new TFree(file.GetListOfFree(), 2100000000LL, 4100000000LL);
   TTree tree("ntuple", "");
   add_common(tree);
   fill(tree, nothing);
   tree.Write();
}

// RNTuples ------------------------------------------------------------------------------------------------------------

struct Hit { float energy; int layer; std::vector<float> cells; };

void rntuple(const char *path) {
   auto model = ROOT::RNTupleModel::Create();
   auto x = model->MakeField<float>("x"); auto event = model->MakeField<std::int64_t>("event");
   auto i1 = model->MakeField<std::int8_t>("i1"); auto u4 = model->MakeField<std::uint32_t>("u4"); auto flag = model->MakeField<bool>("flag");
   auto f8 = model->MakeField<double>("f8"); auto vf = model->MakeField<std::vector<float>>("vf");
   auto rvec = model->MakeField<ROOT::RVec<int>>("rvec"); auto word = model->MakeField<std::string>("word");
   auto array = model->MakeField<std::array<float, 3>>("array"); auto nested = model->MakeField<std::vector<std::vector<float>>>("nested");
   auto words = model->MakeField<std::vector<std::string>>("words"); auto pair = model->MakeField<std::pair<float, int>>("pair");
   auto d32 = model->MakeField<double>("d32"); auto optional = model->MakeField<std::optional<float>>("optional");
   auto variant = model->MakeField<std::variant<float, int>>("variant"); auto bits = model->MakeField<std::bitset<8>>("bits");
   auto map = model->MakeField<std::map<std::string, float>>("map");
   auto writer = ROOT::RNTupleWriter::Recreate(std::move(model), "ntuple", path);
   for (int k = 0; k < ENTRIES; k++) {
      *x = 0.25f * k - 5; *event = 1000 + 7 * k; *i1 = k - 30; *u4 = 4000000000u + k; *flag = k % 3 == 1; *f8 = 0.1 * k; vf->assign(k % 3, k);
      rvec->assign(k % 4, -k); *word = std::string(k % 5, 'w'); for (int j = 0; j < 3; j++) (*array)[j] = k + j;
      nested->assign(k % 3, *vf); words->assign(k % 2, *word); *pair = {0.5f * k, k}; *d32 = k;
      if (k % 2) *optional = k; else optional->reset();
      if (k % 2) *variant = k; else *variant = 0.5f * k;
      *bits = k; *map = {{"a", k}};
      writer->Fill();
      if (k == 24) writer->CommitCluster();
   }
}

void rntuple_in_a_folder(const char *path) {
   TFile file(path, "RECREATE", "", 505);
   auto folder = file.mkdir("nominal");
   auto model = ROOT::RNTupleModel::Create();
   auto x = model->MakeField<float>("x"); auto event = model->MakeField<std::int64_t>("event");
   auto writer = ROOT::RNTupleWriter::Append(std::move(model), "ntuple", *folder);
   for (int k = 0; k < ENTRIES; k++) { *x = 0.25f * k - 5; *event = 1000 + 7 * k; writer->Fill(); }
}

/// A field that was added when 25 entries were written.
void rntuple_with_a_late_field(const char *path) {
   auto model = ROOT::RNTupleModel::Create();
   auto x = model->MakeField<float>("x"); auto event = model->MakeField<std::int64_t>("event");
   auto writer = ROOT::RNTupleWriter::Recreate(std::move(model), "ntuple", path);
   std::shared_ptr<float> late; std::shared_ptr<std::vector<float>> list;
   for (int k = 0; k < ENTRIES; k++) {
      if (k == 25) {
         auto updater = writer->CreateModelUpdater();
         updater->BeginUpdate(); late = updater->MakeField<float>("late"); list = updater->MakeField<std::vector<float>>("list");
         updater->CommitUpdate();
      }
      *x = 0.25f * k - 5; *event = 1000 + 7 * k;
      if (late) { *late = k; list->assign(k % 3, k); }
      writer->Fill();
      if (k == 40) writer->CommitCluster();
   }
}

void rntuple_truncated(const char *path) {
   auto model = ROOT::RNTupleModel::Create();
   auto x = model->MakeField<float>("x"); auto event = model->MakeField<std::int64_t>("event");
   auto half = std::make_unique<ROOT::RField<float>>("half"); half->SetHalfPrecision();
   auto truncated = std::make_unique<ROOT::RField<float>>("truncated"); truncated->SetTruncated(20);
   auto quantized = std::make_unique<ROOT::RField<float>>("quantized"); quantized->SetQuantized(0, 65535, 16);
   auto d32 = std::make_unique<ROOT::RField<double>>("d32"); d32->SetDouble32();
   model->AddField(std::move(half)); model->AddField(std::move(truncated)); model->AddField(std::move(quantized)); model->AddField(std::move(d32));
   auto writer = ROOT::RNTupleWriter::Recreate(std::move(model), "ntuple", path);
   auto entry = writer->CreateEntry();
   auto px = entry->GetPtr<float>("x"); auto pe = entry->GetPtr<std::int64_t>("event"); auto ph = entry->GetPtr<float>("half");
   auto pt = entry->GetPtr<float>("truncated"); auto pq = entry->GetPtr<float>("quantized"); auto pd = entry->GetPtr<double>("d32");
   for (int k = 0; k < ENTRIES; k++) { *px = 0.25f * k - 5; *pe = 1000 + 7 * k; *ph = 0.5f * k; *pt = 0.25f * k; *pq = k; *pd = 0.125 * k; writer->Fill(*entry); }
}

void rntuple_with_collections(const char *path) {
   auto model = ROOT::RNTupleModel::Create();
   auto x = model->MakeField<float>("x"); auto event = model->MakeField<std::int64_t>("event");
   auto hits = model->MakeField<std::vector<Hit>>("Hits"); auto numbers = model->MakeField<Numbers>("numbers");
   auto writer = ROOT::RNTupleWriter::Recreate(std::move(model), "ntuple", path);
   for (int k = 0; k < ENTRIES; k++) {
      *x = 0.25f * k - 5; *event = 1000 + 7 * k;
      hits->assign(k % 3, Hit{0.5f * k, -k, std::vector<float>(k % 2, k)}); numbers->set(k);
      writer->Fill();
      if (k == 24) writer->CommitCluster();
   }
}

void rntuple_empty(const char *path) {
   auto model = ROOT::RNTupleModel::Create();
   model->MakeField<float>("x"); model->MakeField<std::int64_t>("event"); model->MakeField<std::vector<float>>("v");
   auto writer = ROOT::RNTupleWriter::Recreate(std::move(model), "ntuple", path);
}
