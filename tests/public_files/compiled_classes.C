// Wrote tests/data/public_files/compiled_classes.root: collections that ROOT writes only with compiled dictionaries.
//    root -b -q compiled_classes.C+    (with a compiler; ROOT 6.40)
#include <Math/Vector4D.h>
#include <TFile.h>
#include <TLorentzVector.h>
#include <TTree.h>
#include <bitset>
#include <deque>
#include <list>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

struct Track {
   float pt;
   double eta;
   int hits[3];
   Double32_t truncated;  //[0,100,16]
   bool good;
   std::vector<float> chi2;
};

struct Muon {
   TLorentzVector p4;
   Track track;
   std::string name;
   virtual ~Muon() {}
};

#ifdef __CLING__
#pragma link C++ struct Track+;
#pragma link C++ struct Muon+;
#pragma link C++ class std::vector<Track>+;
#pragma link C++ class std::vector<Muon>+;
#pragma link C++ class std::vector<Muon *>+;
#pragma link C++ class std::list<Track>+;
#pragma link C++ class std::map<int, float>+;
#pragma link C++ class std::map<std::string, std::vector<float>>+;
#pragma link C++ class std::map<int, Track>+;
#pragma link C++ class std::unordered_map<int, float>+;
#pragma link C++ class std::pair<std::string, int>+;
#pragma link C++ class std::vector<std::pair<int, float>>+;
#pragma link C++ class std::vector<std::vector<int>>+;
#pragma link C++ class std::vector<std::vector<std::vector<float>>>+;
#pragma link C++ class std::vector<std::vector<std::string>>+;
#pragma link C++ class std::vector<TLorentzVector>+;
#pragma link C++ class std::vector<ROOT::Math::PtEtaPhiMVector>+;
#pragma link C++ class std::bitset<16>+;
#endif

void compiled_classes(const char *path = "compiled_classes.root") {
   TFile file(path, "RECREATE", "", 505);
   TTree tree("ntuple", "");
   float x; Long64_t event;
   std::vector<Track> tracks, whole; std::vector<Muon> muons; std::vector<Muon *> pointers; std::list<Track> list;
   std::map<int, float> map; std::map<std::string, std::vector<float>> lists; std::map<int, Track> track_map;
   std::unordered_map<int, float> hash; std::pair<std::string, int> pair; std::vector<std::pair<int, float>> pairs;
   std::vector<std::vector<int>> vv; std::vector<std::vector<std::vector<float>>> vvv; std::vector<std::vector<std::string>> words;
   std::vector<TLorentzVector> momenta; std::vector<ROOT::Math::PtEtaPhiMVector> pt_eta; std::bitset<16> bits; Muon muon;
   tree.Branch("x", &x); tree.Branch("event", &event);
   tree.Branch("tracks", &tracks); tree.Branch("whole", &whole, 32000, 0); tree.Branch("muons", &muons); tree.Branch("list", &list);
   tree.Branch("pointers", &pointers, 32000, 0); tree.Branch("map", &map); tree.Branch("lists", &lists); tree.Branch("track_map", &track_map);
   tree.Branch("hash", &hash); tree.Branch("pair.", &pair); tree.Branch("pairs", &pairs); tree.Branch("vv", &vv); tree.Branch("vvv", &vvv);
   tree.Branch("words", &words); tree.Branch("momenta", &momenta); tree.Branch("pt_eta", &pt_eta); tree.Branch("bits", &bits);
   tree.Branch("muon.", &muon);
   for (int k = 0; k < 60; k++) {
      x = 0.25f * k - 5; event = 1000 + 7 * k;
      int n = k % 3;
      Track track{0.5f * k, 0.1 * k, {k, k + 1, k + 2}, 0.7 * k, k % 3 == 1, std::vector<float>(n, k)};
      muon.p4.SetPxPyPzE(k, 2 * k, 3 * k, 4 * k); muon.track = track; muon.name = std::string(n, 'm');
      tracks.assign(n, track); whole = tracks; muons.assign(n, muon); list.assign(n, track);
      for (auto pointer : pointers) delete pointer;
      pointers.clear();
      for (int j = 0; j < n; j++) pointers.push_back(new Muon(muon));
      map = {{1, k}, {2, 2 * k}}; lists = {{"a", std::vector<float>(n, k)}}; track_map = {{k, track}}; hash = {{k, k}}; pair = {"k", k};
      pairs.assign(n, {k, 0.5f * k}); vv.assign(n, std::vector<int>(k % 4, k)); vvv.assign(n, {{1, 2}, {float(k)}});
      words.assign(n, {"a", "b"}); momenta.assign(n, muon.p4); pt_eta.assign(n, {float(k), 0.1, 0.2, 0.3}); bits = k;
      tree.Fill();
      if (k == 24) tree.FlushBaskets();
   }
   tree.Write();
}
